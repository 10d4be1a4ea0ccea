"""Which items match which query, and what a training step tells them from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.catalogue import CANDIDATES
from peftrec.data.matches import Matches, matches_of

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=40)


@given(PAIRS, st.lists(st.integers(0, 5), max_size=8))
def test_matches_are_those_of_the_pairs_once_each(pairs, asked):
    query, item = np.array(pairs).T
    found = matches_of(query, item, 6)
    known = [sorted({i for q, i in pairs if q == query}) for query in range(6)]
    assert found.counts().tolist() == [len(of) for of in known]
    position, items = found.of(np.array(asked, np.int64))
    expected = [(n, i) for n, query in enumerate(asked) for i in known[query]]
    assert list(zip(position.tolist(), items.tolist(), strict=True)) == expected


def test_candidates_are_the_steps_items_and_a_rival_of_each_query():
    rivals = np.array([[7, 8], [9, -1], [-1, -1]], np.int32)
    matches = Matches(np.array([0, 1, 2, 3]), np.array([0, 1, 2]), rivals)
    seen = set()
    for step in range(30):
        found = matches.candidates(np.array([0, 1, 2]), np.array([5, 1, 5]), 0, step)
        assert (np.diff(found) > 0).all() and {1, 5} <= set(found.tolist()) <= {1, 5, 7, 8, 9}
        assert {7, 8} & set(found.tolist())  # of the first query there are two
        assert found.tolist() == matches.candidates(np.array([0, 1, 2]), np.array([5, 1, 5]), 0, step).tolist()
        seen |= set(found.tolist())
    assert seen == {1, 5, 7, 8, 9}
    assert matches_of(np.array([0]), np.array([3]), 1).candidates(np.array([0]), np.array([3]), 0, 0).tolist() == [3]


@pytest.mark.parametrize("items", [CANDIDATES, CANDIDATES + 1000])
def test_candidates_are_not_more_than_a_step_takes(items):
    matches = matches_of(np.zeros(items, np.int64), np.arange(items), 1)
    found = matches.candidates(np.zeros(items, np.int64), np.arange(items), 0, 0)
    assert len(np.unique(found)) == CANDIDATES
