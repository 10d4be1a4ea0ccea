"""Places and log-probabilities of right items against scipy's; whole catalogues are ranked in test_evaluate.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import rankdata

from peftrec.data.examples import Examples
from peftrec.errors import Diverged
from peftrec.evaluation.ranking import _candidates, _standing, each_alone, finite, together

RANDOM = np.random.default_rng(0)


def test_ties_count_half_and_what_was_met_is_no_candidate():
    scores = RANDOM.integers(0, 4, (30, 9)).astype(float)
    item, met = RANDOM.integers(0, 9, 30), RANDOM.random((30, 9)) < 0.3
    met[np.arange(30), item] = False
    found = _standing(_candidates(scores, np.arange(30), item, np.nonzero(met)), np.arange(30), item)
    for n in range(30):
        left = np.flatnonzero(~met[n])
        own = int(np.flatnonzero(left == item[n])[0])
        assert found[n, 0] == rankdata(-scores[n, left])[own]
        assert found[n, 1] == pytest.approx(log_softmax(scores[n, left])[own])
    found = _standing(_candidates(scores, np.arange(30), item, None), np.arange(30), item)
    assert np.array_equal(found[:, 0], rankdata(-scores, axis=1)[np.arange(30), item])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_several_right_items_of_a_list_stand_apart_in_the_middle_of_their_ties(seed):
    random = np.random.default_rng(seed)
    lists, items = random.integers(1, 5), 12
    scores = random.integers(0, 4, (lists, items)).astype(float)
    right = [np.sort(random.choice(items, random.integers(1, 8), replace=False)) for _ in range(lists)]
    of, item = np.repeat(np.arange(lists), [len(r) for r in right]), np.concatenate(right)
    met = np.nonzero(random.random((lists, items)) < 0.3)  # what is right stays a candidate
    candidates = _candidates(scores, of, item, met)
    places, chances = _standing(candidates, of, item).T
    for n, own in enumerate(right):
        line = candidates[n]
        assert (line[own] == scores[n, own]).all() and (line > -np.inf).sum() >= len(own)
        place = places[of == n]
        assert (
            np.diff(np.sort(place)).min(initial=1) >= 1 and place.min() >= 1 and place.max() <= (line > -np.inf).sum()
        )
        assert chances[of == n] == pytest.approx(log_softmax(line)[own])
        for score in np.unique(line[own]):  # on the whole they stand where those that tie do
            tied = 1 + np.flatnonzero(np.sort(-line) == -score)
            assert place[line[own] == score].mean() == pytest.approx(tied.mean())


def test_the_rows_of_a_user_are_found_in_one_list_made_before_the_first():
    rows = Examples(
        slots={},
        label=np.ones(7, np.float32),
        features=np.zeros((7, 0), np.float32),
        group=np.array([5, 2, 5, 2, 5, 5, 9]),
        item=np.array([1, 3, 0, 4, 1, 2, 3]),
        time=np.array([30.0, 7, 10, 6, 20, 40, np.nan]),
    )
    targets = together(rows)
    assert targets.asked.time[:2].tolist() == [6, 10] and targets.asked.group.tolist() == [2, 5, 9]
    assert list(zip(targets.of.tolist(), targets.rows.item.tolist(), strict=True)) == [
        *((0, 4), (0, 3), (1, 0), (1, 1), (1, 2), (2, 3))
    ]
    assert targets.rows.time[3] == 20  # of an item met twice the first
    some = targets.thinned(2)
    assert (some.of.tolist(), some.rows.item.tolist(), some.asked.group.tolist()) == (
        [0, 0, 1, 1, 1],
        [4, 3, 0, 1, 2],
        [2, 5],
    )
    assert len(targets.thinned(3)) == len(targets) == 6
    part = targets.among(np.array([1, 5]))
    assert (part.of.tolist(), part.asked.group.tolist(), part.rows.item.tolist()) == ([0, 1], [2, 9], [3, 3])
    alone = each_alone(rows)
    assert alone.of.tolist() == list(range(7)) and alone.asked is alone.rows is rows


def test_predictions_that_are_no_numbers_are_refused():
    assert finite(np.array([1.0, -2.0]), "t").tolist() == [1, -2]
    with pytest.raises(Diverged, match="task 't': 2 of 3 predictions are not finite"):
        finite(np.array([1.0, np.nan, np.inf]), "t")
