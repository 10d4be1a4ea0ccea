import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from peftrec.evaluation.metrics import METRICS, OF_IMPRESSIONS, OF_K, direction, find_metric, is_higher, metric

BINARY = ["accuracy", "macro_f1", "auc", "gauc", "log_loss", "ece", "ndcg@10"]
NUMBERS = ["mae", "rmse", "r2"]
TAGS = [
    "micro_f1",
    "mean_ap",
]  # of rows with several labels alone: test_tags.py, with macro-F1 and log-loss of such rows


def make(name, seed, rows=60, classes=2, groups=6):
    """Predictions with ties, labels and groups that suit the metric."""
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=rows)
    if name in NUMBERS:
        return rng.normal(size=rows).round(1), rng.normal(size=rows).round(1), group
    label = rng.integers(classes, size=rows)
    if classes == 2 and seed % 2:
        return rng.random(rows).round(1).clip(0.01, 0.99), label.astype(np.float32), group
    logits = rng.normal(size=(rows, classes)).round(1)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), label, group


def test_every_metric_is_covered_here():
    assert sorted(METRICS) == sorted([*BINARY, *NUMBERS, *TAGS, *OF_IMPRESSIONS])  # the last: test_impressions.py
    shown = [f"impression_{name}" for name in ("hr", "recall", "precision", "map", "mrr", "ndcg")]
    assert list(OF_K) == ["ndcg", *shown]  # the last: test_impressions.py
    assert [name for name, m in METRICS.items() if not m.higher] == ["log_loss", "ece", "mae", "rmse"]


def by_group(value, prediction, label, group, weigh):
    values, weights = [], []
    for g in np.unique(group):
        rows = group == g
        if (v := value(prediction[rows], label[rows])) is not None:
            values.append(v)
            weights.append(weigh(rows))
    return np.average(values, weights=weights)


def sklearn_value(name, prediction, label, group):
    score = prediction if prediction.ndim == 1 else prediction[:, -1]
    choice = (prediction >= 0.5).astype(int) if prediction.ndim == 1 else prediction.argmax(1)
    if name == "gauc":
        both = lambda p, y: reference.roc_auc_score(y, p) if len(set(y)) == 2 else None  # noqa: E731
        return by_group(both, score, label, group, lambda rows: rows.sum())
    if name == "ndcg@10":
        grade = prediction if prediction.ndim == 1 else prediction @ np.arange(prediction.shape[1])

        def value(p, y):
            if y.max() == 0:
                return None
            return reference.ndcg_score(2.0 ** y[None] - 1, p[None], k=10) if len(y) > 1 else 1.0

        return by_group(value, grade, label, group, lambda rows: 1)
    if name == "auc" and prediction.ndim == 2 and prediction.shape[1] > 2:
        return reference.roc_auc_score(label, prediction, multi_class="ovr", average="macro")
    return {
        "accuracy": lambda: reference.accuracy_score(label, choice),
        "macro_f1": lambda: reference.f1_score(label, choice, average="macro"),
        "auc": lambda: reference.roc_auc_score(label, score),
        "log_loss": lambda: reference.log_loss(label, prediction),
        "mae": lambda: reference.mean_absolute_error(label, prediction),
        "rmse": lambda: reference.root_mean_squared_error(label, prediction),
        "r2": lambda: reference.r2_score(label, prediction),
    }[name]()


@pytest.mark.parametrize("name", [name for name in BINARY + NUMBERS if name != "ece"])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_scikit_learn(name, seed):
    columns = make(name, seed)
    assert METRICS[name](*columns) == pytest.approx(sklearn_value(name, *columns), abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "auc", "log_loss", "ndcg@10"])
def test_agrees_with_scikit_learn_on_four_grades(name):
    columns = make(name, 0, classes=4)
    assert METRICS[name](*columns) == pytest.approx(sklearn_value(name, *columns), abs=1e-12)


def test_calibration_error_by_hand():
    # Bin [0.2, 0.267): confidence 0.2 against frequency 0.5, two rows; bin [0.8, 0.867): 0.8 against 1, two rows.
    prediction, label, group = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 1, 1, 1]), np.arange(4)
    assert METRICS["ece"](prediction, label, group) == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    # Two columns: the top class's confidence 0.8 in all rows, right in three of four.
    both = np.stack([1 - prediction, prediction], 1)
    assert METRICS["ece"](both, label, group) == pytest.approx(0.05)


def test_gauc_leaves_out_groups_of_one_class_and_weights_by_rows():
    group = np.array([0, 0, 1, 1, 1, 2, 2])
    label = np.array([0, 1, 0, 0, 1, 1, 1])
    prediction = np.array([0.1, 0.9, 0.5, 0.6, 0.5, 0.0, 0.0])  # AUC 1; one tie and one loss: 0.25; no value
    assert METRICS["gauc"](prediction, label, group) == pytest.approx((2 * 1 + 3 * 0.25) / 5)


def test_ndcg_by_hand_with_ties():
    # One query, grades 2, 0, 1 all scored alike: every place has the mean gain 4 / 3.
    discount = 1 / np.log2([2, 3, 4])
    value = METRICS["ndcg@10"](np.zeros(3), np.array([1, 0, 1]), np.zeros(3))
    assert value == pytest.approx(2 / 3 * discount.sum() / discount[:2].sum())


def test_log_loss_stays_finite_when_a_sure_prediction_is_wrong():
    assert METRICS["log_loss"](np.array([1.0]), np.array([0]), np.array([0])) == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize(
    ("name", "label"), [("auc", [1, 1]), ("gauc", [1, 1]), ("ndcg@10", [0, 0]), ("r2", [1, 1]), ("mae", [])]
)
def test_a_metric_without_a_value_is_nan_and_says_what_it_needs(name, label):
    columns = np.full(len(label), 0.3), np.array(label, float), np.zeros(len(label), int)
    assert np.isnan(METRICS[name](*columns))
    assert METRICS[name].undefined.startswith("needs ")


@pytest.mark.parametrize("k", [1, 2, 3, 7, 100])
def test_ndcg_of_any_k_agrees_with_scikit_learn(k):
    prediction, label, group = make("ndcg@10", 2, classes=4)

    def value(p, y):
        return reference.ndcg_score(2.0 ** y[None] - 1, p[None], k=k) if y.max() else None

    expected = by_group(value, prediction @ np.arange(4), label, group, lambda rows: 1)
    assert find_metric(f"ndcg@{k}")(prediction, label, group) == pytest.approx(expected)
    found = metric(f"ndcg@{k}", keep_in_memory=True).compute(predictions=prediction, references=label, groups=group)
    assert found == {f"ndcg@{k}": pytest.approx(expected)}


def test_which_way_is_better():
    up = ["auc", "hr@3", "ndcg@7", "impression_map@2", "coverage@5", "novelty@5", "diversity@5"]
    assert [direction(name) for name in up] == [True] * len(up)
    assert [direction(name) for name in ("gini@5", "popularity_bias@5", "log_loss", "mae")] == [False] * 4
    assert [direction(name) for name in ("nobody's", "auc@5", "os:getcwd", "gini")] == [None] * 4
    assert is_higher("recall@20") and not is_higher("gini@3")


@given(seed=st.integers(0, 10_000), name=st.sampled_from(BINARY + NUMBERS))
@settings(max_examples=60)
def test_weight_two_is_the_row_twice(seed, name):
    prediction, label, group = make(name, seed)
    weight = np.random.default_rng(seed).integers(0, 3, size=len(label))
    if name == "ndcg@10":  # its unit is the group's list: a group drawn twice is two lists
        weight = weight[group]
    index = np.repeat(np.arange(len(label)), weight)
    copy = np.concatenate([np.arange(times) for times in weight])
    again = group[index] + 1000 * copy if name == "ndcg@10" else group[index]
    expected = METRICS[name](prediction[index], label[index], again)
    assert METRICS[name](prediction, label, group, weight) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(BINARY + NUMBERS))
@settings(max_examples=40)
def test_order_of_rows_and_names_of_groups_do_not_matter(seed, name):
    prediction, label, group = make(name, seed)
    shuffled = np.random.default_rng(seed).permutation(len(label))
    again = METRICS[name](prediction[shuffled], label[shuffled], 7 - 3 * group[shuffled])
    assert again == pytest.approx(METRICS[name](prediction, label, group), abs=1e-9, nan_ok=True)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(["auc", "gauc", "ndcg@10"]))
@settings(max_examples=40)
def test_only_the_order_of_scores_matters_to_ranking(seed, name):
    prediction, label, group = make(name, 2 * seed + 1)
    assert METRICS[name](prediction**3 / 2, label, group) == pytest.approx(
        METRICS[name](prediction, label, group), nan_ok=True
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_reversed_scores_reverse_auc(seed):
    prediction, label, group = make("auc", 2 * seed + 1)
    for name in ("auc", "gauc"):
        forward = METRICS[name](prediction, label, group)
        assert METRICS[name](1 - prediction, label, group) == pytest.approx(1 - forward, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "prediction", "label", "message"),
    [
        ("auc", [0.1, 0.2], [0, 2], "from 0 to 1; found 2 in row 1"),
        ("accuracy", [[0.5, 0.5]], [-1], "from 0 to 1; found -1 in row 0"),
        ("log_loss", [0.1, 0.2], [0, 0.5], "found 0.5 in row 1"),
        ("mae", [np.nan, 0.2], [0, 1], "1 of the predictions are not finite"),
        ("mae", [0.2], [0, 1], "1 predictions, 2 labels and 2 groups"),
        ("gauc", [[0.2, 0.3, 0.5]], [1], "needs two classes, found 3"),
    ],
)
def test_unusable_columns_are_refused(name, prediction, label, message):
    with pytest.raises(ValueError, match=message):
        METRICS[name](np.array(prediction), np.array(label), np.zeros(len(label), int))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return {"cache_dir": str(tmp_path)}


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_is_an_evaluate_metric(name, offline):
    prediction, label, group = make(name, 0)
    if name in TAGS:
        label = np.eye(2)[label]
    groups = {"groups": group} if METRICS[name].grouped else {}
    computed = metric(name, **offline).compute(predictions=prediction, references=label, **groups)
    assert computed == {name: pytest.approx(METRICS[name](prediction, label, group))}


def test_combines_with_other_metrics_and_batches(offline):
    import datasets
    import evaluate

    class Largest(evaluate.Metric):
        def _info(self):
            column = datasets.Value("float64")
            features = datasets.Features({"predictions": column, "references": column})
            return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

        def _compute(self, predictions, references):
            return {"largest": max(predictions)}

    both = evaluate.combine([metric("auc", **offline), metric("gauc", **offline), Largest(**offline)])
    prediction, label, group = make("auc", 1)
    for rows in (slice(0, 20), slice(20, None)):
        both.add_batch(predictions=prediction[rows], references=label[rows], groups=group[rows])
    computed = both.compute()
    assert computed["auc"] == pytest.approx(METRICS["auc"](prediction, label, group))
    assert computed["gauc"] == pytest.approx(METRICS["gauc"](prediction, label, group))
    assert computed["largest"] == prediction.max()
