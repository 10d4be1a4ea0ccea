"""What lists are like, beside formulas of RecBole and of the papers written down plainly."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from peftrec.evaluation.beyond import ALL, BEYOND, EACH, Shelf, Tally, first_items

ITEMS = 20


def drawn(seed, k):
    """Lists of k distinct items, some shorter, and what is known of the items."""
    random = np.random.default_rng(seed)
    first = np.stack([random.permutation(ITEMS)[:k] for _ in range(random.integers(1, 9))])
    for line in first[::2]:
        line[random.integers(1, k + 1) :] = -1
    rows = random.integers(0, 9, ITEMS).astype(float)
    return first, Shelf(rows, 1.0 + random.random(), random.normal(size=(ITEMS, 3)).astype(np.float32))


def of_each(name, items, shelf):
    if name == "novelty":  # mean self-information (Zhou et al. 2010), one row added to every item
        return np.mean([-np.log2((shelf.rows[i] + 1) / (shelf.rows + 1).sum()) for i in items])
    if name == "popularity_bias":  # RecBole's AveragePopularity, as a share more than is usual
        return np.mean([shelf.rows[i] for i in items]) / shelf.usual - 1
    alike = cosine_similarity(shelf.vectors[items].astype(float))  # intra-list distance (Ziegler et al. 2005)
    return np.mean([1 - alike[a, b] for a, b in combinations(range(len(items)), 2)]) if len(items) > 1 else 0.0


def gini(counts):
    """RecBole's GiniIndex: sum of (2 j - I - 1) n_j over items by rising count, over I times the sum."""
    ordered = sorted(counts)
    return sum((2 * j - len(ordered) - 1) * n for j, n in enumerate(ordered, 1)) / (len(ordered) * sum(ordered))


REFERENCE_OF_ALL = {"coverage": lambda counts: len(np.flatnonzero(counts)) / len(counts), "gini": gini}


def test_every_metric_is_covered_here():
    assert list(EACH) == ["novelty", "diversity", "popularity_bias"] and list(ALL) == list(REFERENCE_OF_ALL)
    assert [name for name, of in BEYOND.items() if not of.higher] == ["popularity_bias", "gini"]


@pytest.mark.parametrize("name", list(EACH))
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, ITEMS))
def test_of_a_list(name, seed, k):
    first, shelf = drawn(seed, k)
    expected = [of_each(name, line[line >= 0], shelf) for line in first]
    assert EACH[name].value(first, shelf) == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("name", list(ALL))
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_of_all_lists(name, seed):
    counts = np.random.default_rng(seed).integers(0, 5, ITEMS)
    counts[0] = 3
    assert ALL[name].value(counts) == pytest.approx(REFERENCE_OF_ALL[name](counts))


def test_the_ends_of_gini():
    assert ALL["gini"].value(np.full(8, 3)) == 0
    assert ALL["gini"].value(np.eye(8)[0]) == pytest.approx(7 / 8)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 30))
def test_first_items_are_the_best_candidates(seed, k):
    random = np.random.default_rng(seed)
    scores = random.permutation(4 * ITEMS).reshape(4, ITEMS).astype(float)
    scores[random.random(scores.shape) < 0.5] = -np.inf
    for line, found in zip(scores, first_items(scores, k), strict=True):
        wanted = [i for i in np.argsort(-line, kind="stable") if line[i] > -np.inf][:k]
        assert found[found >= 0].tolist() == wanted and (found[len(wanted) :] == -1).all()


def test_equal_scores_stand_by_number():
    assert first_items(np.array([[1.0, 2, 2, 0]]), 3).tolist() == [[1, 2, 0]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 5))
def test_a_tally_is_the_same_however_lists_come(seed, cut):
    random = np.random.default_rng(seed)
    scores = random.permutation(6 * ITEMS).reshape(6, ITEMS).astype(float)
    shelf = drawn(seed, 3)[1]
    names = ["novelty@2", "diversity@5", "popularity_bias@5", "coverage@3", "gini@2"]
    whole, pieces = Tally(names, shelf), Tally(names, shelf)
    assert whole.most == 5
    whole.see(scores)
    for some in (scores[:cut], scores[cut:]):
        pieces.see(some)
    each, together = whole.found()
    assert list(each) == names[:3] and together == pieces.found()[1]
    for name in each:
        base, k = name.split("@")
        assert each[name] == pytest.approx(EACH[base].value(first_items(scores, int(k)), shelf))
        assert each[name] == pytest.approx(pieces.found()[0][name])
    counts = np.bincount(first_items(scores, 3).ravel(), minlength=ITEMS)
    assert together["coverage@3"] == REFERENCE_OF_ALL["coverage"](counts)
    counts = np.bincount(first_items(scores, 2).ravel(), minlength=ITEMS)
    assert together["gini@2"] == pytest.approx(gini(counts))
