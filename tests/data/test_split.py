import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.split import (
    TEST,
    TRAIN,
    VALID,
    Divisible,
    at_random,
    by_group,
    by_time,
    check_parts,
    divide,
    leave_last_out,
    stratified,
    time_boundaries,
)
from peftrec.errors import UserError
from peftrec.recipe import SplitConfig

shares = st.tuples(st.floats(0.05, 0.6), st.floats(0, 0.35)).map(lambda s: SplitConfig(test=s[0], valid=s[1]))
counted = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def counts(parts):
    return np.bincount(parts, minlength=3).tolist()


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


def as_recbole_leaves(count, held_out):
    """A user's parts as RecBole 1.2's `Dataset._split_index_by_leave_one_out` gives them out, restated."""
    legal = min(held_out, count - 1)
    return [TRAIN] * (count - legal) + ([VALID, TEST] if held_out == 2 else [TEST])[held_out - legal :]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.booleans())
def test_leave_last_out_takes_the_last_of_every_user(counts, valid):
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parts = leave_last_out(start, valid)
    assert len(parts) == sum(counts)
    for user, count in enumerate(counts):
        own = parts[start[user] : start[user + 1]].tolist()
        expected = [TRAIN] * count
        if count > 2 and valid:
            expected[-2] = VALID
        if count > 1:
            expected[-1] = TEST
        assert own == expected
        assert not count or own == as_recbole_leaves(count, 2 if valid else 1)


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


@given(st.integers(3, 500), shares, st.integers(0, 9))
def test_rows_at_random_keep_the_shares(count, split, seed):
    parts = at_random(count, split, seed)
    _, valid, test = counts(parts)
    assert test == max(1, round(split.test * count))
    assert valid == (max(1, round(split.valid * count)) if split.valid else 0)
    assert (parts == at_random(count, split, seed)).all()
    assert (parts == by_group(np.arange(count), split, seed)).all()  # as texts without a split were divided before


def test_rows_at_random_follow_the_seed():
    split = SplitConfig(test=0.2, valid=0.1)
    assert counts(at_random(1000, split, 0)) == [700, 100, 200]
    assert (at_random(1000, split, 0) != at_random(1000, split, 1)).any()


@given(counted, shares, st.integers(0, 9))
def test_a_stratified_split_gives_every_part_its_share_of_every_class(sizes, split, seed):
    label = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = stratified(label, split, seed)
    wanted = np.array([1 - split.test - split.valid, split.valid, split.test])
    over = np.zeros(3)
    for own, size in enumerate(sizes):
        found = np.array(counts(parts[label == own]))
        assert found.sum() == size
        least = (wanted > 0) if size >= 3 else np.array([True, False, size == 2])
        assert (found >= least).all()
        forced = np.maximum(least - wanted * size, 0).sum()  # what the first row of a part takes from its others
        assert (np.abs(found - wanted * size) < 1 + forced + 1e-6).all()
        over += np.maximum(least - wanted * size, 0)
    assert (np.abs(np.array(counts(parts)) - wanted * sum(sizes)) < 2 + over.sum()).all()
    assert (parts == stratified(label, split, seed)).all()


def test_a_stratified_split_of_known_classes():
    label = np.repeat(["common", "pair", "rare", "single", "usual"], [100, 2, 3, 1, 44])
    parts = stratified(label, SplitConfig(test=0.2, valid=0.1), 0)
    found = {name: counts(parts[label == name]) for name in np.unique(label)}
    assert found == {
        "common": [70, 10, 20],
        "pair": [1, 0, 1],
        "rare": [1, 1, 1],
        "single": [1, 0, 0],
        "usual": [31, 4, 9],
    }
    assert (parts != stratified(label, SplitConfig(test=0.2, valid=0.1), 1)).any()


def test_many_small_classes_keep_the_shares_together():
    parts = stratified(np.repeat(np.arange(100), 12), SplitConfig(test=0.2, valid=0.1), 0)
    assert counts(parts) == [840, 120, 240]  # 8.4, 1.2 and 2.4 of each: none could be rounded alone


USER = np.repeat(np.arange(10), [1, 1, 1, 2, 2, 3, 5, 5, 10, 20])
TIME = np.random.default_rng(0).permutation(50).astype(float)
START = np.searchsorted(USER, np.arange(11))
ITEM, QUERY, TEXT = np.arange(50) % 8, np.arange(50) % 9, np.arange(50) % 25
TIMED = Divisible("events", 50, TIME, {"user": USER, "item": ITEM}, START)
TIMELESS = Divisible("events", 50, None, {"user": USER, "item": ITEM}, START)
ASKED = Divisible("queries", 50, TIME, {"query": QUERY, "item": ITEM, "text": QUERY}, label=ITEM % 2)
ASKED_WHENEVER = Divisible("queries", 50, None, {"query": QUERY, "item": ITEM, "text": QUERY}, label=ITEM % 2)
TOLD = Divisible("texts", 50, None, {"text": TEXT}, label=ITEM % 3)
LEAKS = "training sees events from after a held-out one; prefer global-time"


def parts_of(rows, kind, own=True, **keys):
    parts, split, notes = divide(rows, SplitConfig(kind=kind, **keys), 3, "data.here", own)
    assert parts.dtype == np.int8 and len(parts) == rows.rows
    return parts, split.kind, notes


@pytest.mark.parametrize("own", [True, False])
def test_events_by_time(own):
    parts, kind, notes = parts_of(TIMED, "global-time", own)
    assert (kind, notes, counts(parts)) == ("global-time", [], [35, 5, 10])
    assert TIME[parts == TRAIN].max() < TIME[parts == VALID].min() < TIME[parts == TEST].min()


def test_times_are_cut_where_another_table_says():
    rows = Divisible("queries", 50, TIME, {"query": QUERY}, boundaries=(9.0, 19.0))
    assert counts(parts_of(rows, "global-time", own=False)[0]) == [10, 10, 30]


def test_leave_last_out_tells_of_users_of_one_and_two_events():
    parts, _, notes = parts_of(TIMED, "leave-last-out")
    assert counts(parts) == [38, 5, 7]  # ten users: three of one event, two of two
    assert notes == [
        "leave-last-out leaks: training sees other users' events from after a held-out event; prefer global-time",
        "leave-last-out: 3 users have one event, which is train: none of theirs is held out",
        "leave-last-out: 2 users have two events, one train and one test: none is valid",
    ]
    parts, _, notes = parts_of(TIMED, "leave-last-out", valid=0)
    assert counts(parts) == [43, 0, 7] and len(notes) == 2


@pytest.mark.parametrize(
    ("rows", "keys", "groups", "notes"),
    [
        (TIMED, {}, USER, [f"by-group holds out whole users; {LEAKS}"]),
        (TIMED, {"by": "item"}, ITEM, [f"by-group holds out whole items; {LEAKS}"]),
        (TIMELESS, {}, USER, []),
        (TIMELESS, {"by": "item"}, ITEM, []),
        (ASKED, {}, QUERY, []),
        (ASKED, {"by": "item"}, ITEM, []),
    ],
)
def test_whole_groups_are_held_out(rows, keys, groups, notes):
    parts, _, said = parts_of(rows, "by-group", **keys)
    kept = [set(groups[parts == part].tolist()) for part in (TRAIN, VALID, TEST)]
    assert all(kept) and not kept[0] & kept[1] and not kept[0] & kept[2] and not kept[1] & kept[2]
    assert said == notes
    assert (parts == by_group(groups, SplitConfig(test=0.2, valid=0.1), 3)).all()


@pytest.mark.parametrize("rows", [TOLD, ASKED])
def test_equal_texts_stay_together(rows):
    parts, _, notes = parts_of(rows, "by-text")
    text = rows.groups["text"]
    assert not set(text[parts == TRAIN].tolist()) & set(text[parts == TEST].tolist()) and notes == []


@pytest.mark.parametrize(
    ("rows", "kind", "notes"),
    [
        (TIMED, "random", [f"random leaks: {LEAKS}"]),
        (TIMELESS, "random", []),
        (ASKED, "random", []),
        (TOLD, "random", []),
        (TOLD, "by-group", []),  # no column groups them: each row for itself
        (ASKED, "stratified", []),
        (TOLD, "stratified", []),
    ],
)
def test_rows_are_drawn(rows, kind, notes):
    parts, _, said = parts_of(rows, kind)
    assert counts(parts) == [35, 5, 10] and said == notes
    if kind == "stratified":
        for own in np.unique(rows.label):
            assert abs(np.mean(rows.label[parts == TEST] == own) - np.mean(rows.label == own)) < 0.1


GIVEN = ["train"] * 40 + ["valid"] * 2 + ["validation"] * 3 + ["test"] * 5


@pytest.mark.parametrize("sort", ["events", "queries", "texts"])
@pytest.mark.parametrize(("kind", "own"), [("given", True), ("given", False), ("global-time", False)])
def test_parts_that_rows_come_with_are_kept(sort, kind, own):
    parts, done, notes = parts_of(Divisible(sort, 50, given=GIVEN), kind, own)
    assert (counts(parts), done, notes) == ([40, 5, 5], "given", [])
    assert parts.tolist() == sorted(parts.tolist())


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("by-group", "split at random: by-group leaves the split that the texts come with unused"),
        ("random", "split at random: random leaves the split that the texts come with unused"),
        ("by-text", "by-text leaves the split that the texts come with unused"),
    ],
)
def test_parts_that_are_not_asked_for_are_told(kind, note):
    assert parts_of(Divisible("texts", 50, groups={"text": TEXT}, given=GIVEN), kind, own=False)[2] == [note]


@pytest.mark.parametrize(
    ("rows", "kind", "done", "note"),
    [
        (TIMELESS, "global-time", "random", "split at random, not global-time: events have no time"),
        (TIMELESS, "leave-last-out", "random", "split at random, not leave-last-out: events have no time"),
        (TIMED, "by-text", "global-time", "split by global time, not by-text: events have no text"),
        (TIMED, "stratified", "global-time", "split by global time, not stratified: events have no classes"),
        (ASKED_WHENEVER, "global-time", "by-group", "split by query, not global-time: whole queries are held out"),
        (ASKED, "leave-last-out", "by-group", "split by query, not leave-last-out: whole queries are held out"),
        (TOLD, "global-time", "random", "split at random, not global-time: texts have no time"),
    ],
)
def test_the_split_of_the_run_is_only_for_tables_that_can_have_it(rows, kind, done, note):
    parts, found, notes = parts_of(rows, kind, own=False)
    assert (found, notes) == (done, [note])
    expected, _, _ = parts_of(rows, done)
    assert (parts == expected).all()


def test_a_group_that_a_table_lacks_is_its_usual_one():
    parts, kind, notes = parts_of(TOLD, "by-group", own=False, by="item")
    assert (kind, notes) == ("random", ["split at random, not by-group: texts have no item"])
    parts, kind, notes = parts_of(ASKED, "by-group", own=False, by="user")
    assert kind == "by-group" and (parts == parts_of(ASKED, "by-group")[0]).all()
    assert notes == ["split by query, not by-group: whole queries are held out"]


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        (
            TIMELESS,
            {"kind": "global-time"},
            "data.here.split.kind: global-time needs time, which these events lack; take one of random, by-group",
        ),
        (
            TIMELESS,
            {"kind": "leave-last-out"},
            "leave-last-out needs time, which these events lack; take one of random",
        ),
        (ASKED, {"kind": "leave-last-out"}, "needs order within a user, which these queries lack; take one of global-"),
        (
            TIMED,
            {"kind": "stratified"},
            "stratified needs classes, which these events lack; take one of global-time, l",
        ),
        (TIMED, {"kind": "by-text"}, "by-text needs text, which these events lack"),
        (ASKED, {"kind": "by-group", "by": "user"}, "by-group needs user, which these queries lack"),
        (TOLD, {"kind": "by-group", "by": "item"}, "by-group needs item, which these texts lack"),
        (TOLD, {"kind": "given"}, "data.here.split.kind: 'given' needs a split column: data.here.split"),
    ],
)
def test_a_table_s_own_split_is_done_or_refused(rows, keys, message):
    with pytest.raises(UserError) as error:
        divide(rows, SplitConfig(**keys), 0, "data.here", own=True)
    assert message in str(error.value)


@pytest.mark.parametrize("rows", [TIMED, ASKED, TOLD])
def test_given_without_parts_is_refused_also_when_the_run_asks_for_it(rows):
    with pytest.raises(UserError, match=r"data\.split\.kind: 'given' needs a split column: data.here.split"):
        divide(rows, SplitConfig(kind="given"), 0, "data.here")


@pytest.mark.parametrize(
    ("parts", "name"), [([TEST, VALID], "train"), ([TRAIN, TEST], "valid"), ([TRAIN, VALID], "test")]
)
def test_an_empty_split_is_refused(parts, name):
    with pytest.raises(UserError, match=f"the {name} split is empty .* data.split global-time"):
        check_parts(np.asarray(parts), SplitConfig())


def test_an_empty_part_of_a_given_split_is_to_be_named_in_its_column():
    with pytest.raises(
        UserError, match=r"0 test rows with data\.texts\.split given\); name rows of it in the split col"
    ):
        check_parts(np.asarray([TRAIN, TRAIN]), SplitConfig(kind="given"), "data.texts.split")


def test_valid_may_be_empty_when_it_is_not_asked_for():
    check_parts(np.asarray([TRAIN, TEST]), SplitConfig(valid=0))
    check_parts(np.asarray([TRAIN, TEST]), SplitConfig(kind="given"))


NO_VALID = [*["train"] * 40, *["test"] * 10]


@pytest.mark.parametrize("sort", ["texts", "queries"])
def test_a_given_split_without_valid_holds_out_whole_texts_or_queries_of_train(sort):
    group = np.arange(50) // 2
    rows = Divisible(sort, 50, groups={"text": group, "query": group}, given=NO_VALID)
    parts, done, notes = divide(rows, SplitConfig(kind="given"), 3, "data.here")
    assert (counts(parts), done.kind) == ([36, 4, 10], "given")  # 2 of the 20 groups that are train
    assert (parts[::2] == parts[1::2]).all() and (parts[40:] == TEST).all()
    assert notes == [
        "the split marks no row as valid: 10% of the train rows are, drawn at random; valid: 0 trains on them"
    ]
    again = divide(rows, SplitConfig(kind="given"), 4, "data.here")[0]
    assert (again != parts).any()
    assert counts(divide(rows, SplitConfig(kind="given", valid=0), 3, "data.here")[0]) == [40, 0, 10]


def test_of_events_the_latest_of_train_are_held_out_and_equal_times_stay_together():
    time = np.concatenate([np.arange(30.0), np.full(10, 99.0), np.arange(10.0)])  # the test rows are the oldest
    rows = Divisible("events", 50, time=time, given=NO_VALID)
    parts, _, notes = divide(rows, SplitConfig(kind="given", valid=0.3), 0, "data.here")
    assert counts(parts) == [28, 12, 10]
    assert np.flatnonzero(parts == VALID).tolist() == [28, 29, *range(30, 40)]
    assert notes == ["the split marks no row as valid: 30% of the train rows are, the latest; valid: 0 trains on them"]


def test_a_single_train_row_is_not_held_out():
    rows = Divisible("texts", 2, given=["train", "test"])
    assert divide(rows, SplitConfig(kind="given"), 0, "data.here")[0].tolist() == [TRAIN, TEST]
