import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.split import TEST, TRAIN, VALID, by_group, by_time, check_parts, leave_last_out, time_boundaries
from peftrec.errors import UserError
from peftrec.recipe import SplitConfig

shares = st.tuples(st.floats(0.05, 0.6), st.floats(0, 0.35)).map(lambda s: SplitConfig(test=s[0], valid=s[1]))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200).map(np.asarray), shares)
def test_a_time_split_is_ordered_and_ties_stay_together(times, split):
    parts = by_time(times.astype(float), time_boundaries(times.astype(float), split))
    assert set(parts.tolist()) <= {TRAIN, VALID, TEST} and len(parts) == len(times)
    ordered = parts[np.argsort(times, kind="stable")]
    assert (np.diff(ordered) >= 0).all()  # train, then valid, then test
    for moment in set(times.tolist()):
        assert len(set(parts[times == moment].tolist())) == 1


def test_a_time_split_keeps_the_shares():
    times = np.random.default_rng(0).permutation(1000).astype(float)
    parts = by_time(times, time_boundaries(times, SplitConfig(test=0.2, valid=0.1)))
    assert np.bincount(parts).tolist() == [700, 100, 200]
    parts = by_time(times, time_boundaries(times, SplitConfig(test=0.2, valid=0)))
    assert np.bincount(parts, minlength=3).tolist() == [800, 0, 200]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.booleans())
def test_leave_last_out_takes_the_last_of_every_user(counts, valid):
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parts = leave_last_out(start, valid)
    assert len(parts) == sum(counts)
    for user, count in enumerate(counts):
        own = parts[start[user] : start[user + 1]].tolist()
        expected = [TRAIN] * count
        if count > 1 and valid:
            expected[-2] = VALID
        if count:
            expected[-1] = TEST
        assert own == expected


@given(st.lists(st.integers(0, 20), min_size=1, max_size=100).map(np.asarray), shares, st.integers(0, 9))
def test_groups_stay_whole(groups, split, seed):
    parts = by_group(groups, split, seed)
    for group in set(groups.tolist()):
        assert len(set(parts[groups == group].tolist())) == 1
    assert (parts == by_group(groups, split, seed)).all()
    assert (parts == TEST).any()


def test_groups_keep_the_shares_and_follow_the_seed():
    groups = np.repeat(np.arange(100), 3)
    split = SplitConfig(test=0.2, valid=0.1)
    parts = by_group(groups, split, 0)
    assert np.bincount(parts).tolist() == [210, 30, 60]
    assert (parts != by_group(groups, split, 1)).any()


@pytest.mark.parametrize(
    ("parts", "name"), [([TEST, VALID], "train"), ([TRAIN, TEST], "valid"), ([TRAIN, VALID], "test")]
)
def test_an_empty_split_is_refused(parts, name):
    with pytest.raises(UserError, match=f"the {name} split is empty .* data.split global-time"):
        check_parts(np.asarray(parts), SplitConfig())


def test_valid_may_be_empty_when_it_is_not_asked_for():
    check_parts(np.asarray([TRAIN, TEST]), SplitConfig(valid=0))
    check_parts(np.asarray([TRAIN, TEST]), SplitConfig(kind="given"))
