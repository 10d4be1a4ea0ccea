import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from peftrec.evaluation.at_k import AT_K, of_places
from peftrec.evaluation.intervals import bootstrap, draws
from peftrec.evaluation.metrics import METRICS, OF_IMPRESSIONS, find_metric, metric


def reciprocal(label, score):
    """The mean of 1 / place over what was clicked, as MIND counts it where nothing ties."""
    places = 1 + np.argsort(np.argsort(-score))
    return (label / places).sum() / label.sum()


REFERENCE = {
    "impression_auc": reference.roc_auc_score,
    "impression_mrr": reciprocal,
    "impression_ndcg@5": lambda label, score: reference.ndcg_score(label[None], score[None], k=5),
    "impression_ndcg@10": lambda label, score: reference.ndcg_score(label[None], score[None], k=10),
}


def expected(name, score, label, group):
    """The mean over lists that hold both."""
    lists = [(label[group == g], score[group == g]) for g in np.unique(group)]
    return np.mean([REFERENCE[name](y, p) for y, p in lists if 0 < y.sum() < len(y)])


@pytest.mark.parametrize("name", OF_IMPRESSIONS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_equals_scikit_learn_list_by_list(name, seed, ties):
    random = np.random.default_rng(seed)
    group, label = random.integers(12, size=200), (random.random(200) < 0.2).astype(np.float32)
    score = random.permutation(200) / 200
    if ties and name != "impression_mrr":
        score = score.round(1)
    assert METRICS[name](score, label, group) == pytest.approx(expected(name, score, label, group))


@pytest.mark.parametrize("name", list(AT_K))
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 20))
def test_of_any_k_clicks_are_what_is_right_of_a_list(name, seed, k):
    random = np.random.default_rng(seed)
    group, label = random.integers(12, size=200), (random.random(200) < 0.2).astype(np.float32)
    score, place = random.permutation(200) / 200, np.zeros(200)
    for g in np.unique(group):
        place[group == g] = 1 + np.argsort(np.argsort(-score[group == g]))
    both = [g for g in np.unique(group) if 0 < label[group == g].mean() < 1]
    rows = (label == 1) & np.isin(group, both)
    expected = of_places(f"{name}@{k}")(place[rows], label[rows], group[rows])
    assert find_metric(f"impression_{name}@{k}")(score, label, group) == pytest.approx(expected)


def test_clicks_that_tie_are_spread_over_their_places():
    # Places 1 to 4 tie, two of them clicked: they stand at 1.5 and 3.5.
    score, label, group = np.array([0.5, 0.5, 0.5, 0.5, 0.1]), np.array([1, 0, 1, 0, 0]), np.zeros(5, int)
    found = {name: find_metric(f"impression_{name}")(score, label, group) for name in ("recall@2", "hr@1", "map@5")}
    assert found == {"recall@2": 0.5, "hr@1": 0, "map@5": pytest.approx((1 / 1.5 + 2 / 3.5) / 2)}


def test_ties_share_their_places():
    score, label, group = np.array([0.5, 0.5, 0.5, 0.1]), np.array([1, 0, 0, 0]), np.zeros(4, int)
    assert METRICS["impression_mrr"](score, label, group) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert METRICS["impression_auc"](score, label, group) == pytest.approx((0.5 + 0.5 + 1) / 3)


@pytest.mark.parametrize("name", OF_IMPRESSIONS)
def test_a_list_all_clicked_or_not_at_all_does_not_count(name):
    score, label = np.array([0.3, 0.2, 0.9, 0.8, 0.1]), np.array([1, 0, 1, 1, 0])
    assert METRICS[name](score, label, np.array([0, 0, 1, 1, 2])) == 1
    assert np.isnan(METRICS[name](score[2:], label[2:], np.array([1, 1, 2])))


@pytest.mark.parametrize("name", OF_IMPRESSIONS)
def test_users_are_drawn_with_all_their_lists(name):
    random = np.random.default_rng(3)
    group, label, score = random.integers(40, size=300), random.integers(2, size=300), random.random(300)
    lists = [g for g in np.unique(group) if 0 < label[group == g].mean() < 1]
    of = [REFERENCE[name](label[group == g], score[group == g]) for g in lists]
    user, values = group % 8, []
    for weight in draws(user, 50, 3):
        values.append(np.mean(np.repeat(of, [int(weight[group == g][0]) for g in lists])))
    low, high = bootstrap(METRICS[name], score, label, group, 50, 3, cluster=user)
    assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_what_is_no_list_of_clicks_is_refused():
    with pytest.raises(ValueError, match="labels that are 1 or 0"):
        METRICS["impression_auc"](np.array([0.1, 0.2]), np.array([0, 2]), np.zeros(2, int))
    found = metric("impression_auc", keep_in_memory=True).compute(
        predictions=[0.9, 0.2, 0.6, 0.4], references=[1, 0, 0, 1], groups=[7, 7, 8, 8]
    )
    assert found == {"impression_auc": 0.5}
