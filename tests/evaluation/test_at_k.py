"""Metrics of the first k places, beside RecBole's formulas written down plainly, list by list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from peftrec.evaluation.at_k import AT_K, CHOICE, Right, of_places, split_name, spread
from peftrec.evaluation.intervals import bootstrap, draws

ITEMS = 30


def relevance(place):
    """Whether each place of a list is right, (I,)."""
    found = np.zeros(ITEMS)
    found[np.asarray(place, int) - 1] = 1
    return found


def ideal(right, k):
    return sum(1 / np.log2(1 + n) for n in range(1, min(right, k) + 1))


# RecBole 1.2, recbole/evaluator/metrics.py: Hit, Recall, Precision, MAP, MRR, NDCG.
RECBOLE = {
    "hr": lambda pos, k: float(pos[:k].any()),
    "recall": lambda pos, k: pos[:k].sum() / pos.sum(),
    "precision": lambda pos, k: pos[:k].sum() / k,
    "map": lambda pos, k: sum(pos[:n].sum() / n for n in range(1, k + 1) if pos[:n][-1]) / min(pos.sum(), k),
    "mrr": lambda pos, k: 1 / (1 + pos[:k].argmax()) if pos[:k].any() else 0.0,
    "ndcg": lambda pos, k: sum(pos[n - 1] / np.log2(1 + n) for n in range(1, k + 1)) / ideal(int(pos.sum()), k),
}


def drawn(seed, most=6):
    """Distinct places of the right items of some lists, rows shuffled: the places and the lists' names."""
    random = np.random.default_rng(seed)
    lists = [
        random.choice(ITEMS, random.integers(1, most + 1), replace=False) + 1 for _ in range(random.integers(1, 9))
    ]
    group = np.repeat(random.permutation(100)[: len(lists)], [len(of) for of in lists])
    order = random.permutation(len(group))
    return np.concatenate(lists)[order].astype(float), group[order]


def test_every_metric_is_covered_here():
    assert list(AT_K) == list(RECBOLE)
    assert list(CHOICE) == ["log_loss"]


@pytest.mark.parametrize("name", list(AT_K))
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, ITEMS))
def test_equals_recboles_formula_list_by_list(name, seed, k):
    place, group = drawn(seed)
    expected = np.mean([RECBOLE[name](relevance(place[group == g]), k) for g in np.unique(group)])
    assert of_places(f"{name}@{k}")(place, np.ones(len(place)), group) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, ITEMS))
def test_ndcg_equals_scikit_learns(seed, k):
    place, group = drawn(seed)
    score = -np.arange(ITEMS, dtype=float)[None]
    expected = np.mean([ndcg_score(relevance(place[group == g])[None], score, k=k) for g in np.unique(group)])
    assert of_places(f"ndcg@{k}")(place, np.ones(len(place)), group) == pytest.approx(expected)


@pytest.mark.parametrize("name", list(AT_K))
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, ITEMS - 1))
def test_values_are_shares_and_hits_do_not_fall_with_k(name, seed, k):
    place, group = drawn(seed)
    place += seed % 3 / 3  # between whole places, as right items stand that tie
    value, more = (of_places(f"{name}@{n}")(place, place, group) for n in (k, k + 1))
    assert 0 <= value <= 1 + 1e-12
    if name in ("hr", "recall", "mrr"):
        assert more >= value


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, ITEMS))
def test_of_one_right_item_recall_is_the_hit_rate_and_map_is_mrr(seed, k):
    place, group = drawn(seed, most=1)
    found = {name: of_places(f"{name}@{k}")(place, place, group) for name in AT_K}
    assert found["recall"] == found["hr"] == pytest.approx(k * found["precision"])
    assert found["map"] == found["mrr"] == pytest.approx(np.mean((place <= k) / place))
    assert found["ndcg"] == pytest.approx(np.mean((place <= k) / np.log2(1 + place)))


def test_ranks_from_one_and_ten_still_counts():
    rank, each = np.array([1, 2, 10, 10.5, 11]), np.arange(5)
    assert of_places("hr@10")(rank, rank, each) == pytest.approx(3 / 5)
    assert of_places("mrr@10")(rank, rank, each) == pytest.approx((1 + 1 / 2 + 1 / 10) / 5)
    assert of_places("ndcg@10")(rank, rank, each) == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 5)


def test_lists_count_alike_and_are_drawn_whole():
    place, group = drawn(3)
    user, values = group % 3, []
    for weight in draws(user, 50, 3):
        lists = np.repeat(np.unique(group), [int(weight[group == g][0]) for g in np.unique(group)])
        values.append(np.mean([RECBOLE["recall"](relevance(place[group == g]), 9) for g in lists]))
    found = bootstrap(of_places("recall@9"), place, place, group, 50, 3, cluster=user)
    assert found == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


@settings(max_examples=40, deadline=None)
@given(tied=st.integers(1, 9), better=st.integers(0, 9), data=st.data())
def test_right_items_that_tie_are_spread_evenly_over_their_places(tied, better, data):
    right = data.draw(st.integers(1, tied))
    places = spread(better, tied, right, np.arange(1, right + 1))
    assert places.mean() == pytest.approx(better + (1 + tied) / 2)
    assert places.min() >= better + 1 and places.max() <= better + tied and np.diff(places).min(initial=1) >= 1
    assert right < tied or places == pytest.approx(better + np.arange(1, tied + 1))


def test_names():
    assert split_name("ndcg@5") == ("ndcg", 5) and split_name("log_loss") == ("log_loss", None)
    for name in ("hr", "hr@", "hr@0", "hr@05", "hr@-1", "hr@1.5", "hr@1e3", "auc@5", "hr@10 ", "@5", "hr@99999999"):
        assert of_places(name) is None
    assert Right(np.array([3.0, 1, 2]), np.array([7, 7, 4])).nth.tolist() == [2, 1, 1]
