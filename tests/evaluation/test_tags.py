"""Metrics of rows with several labels, held against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from peftrec.evaluation.metrics import METRICS

NAMES = ["micro_f1", "macro_f1", "mean_ap", "log_loss"]


def make(seed, rows=50, classes=4):
    """Predictions with ties, labels, row numbers; classes of all rates."""
    random = np.random.default_rng(seed)
    prediction = random.random((rows, classes)).round(1).clip(0.01, 0.99)
    return prediction, (random.random((rows, classes)) < [0.1, 0.3, 0.5, 0.9]).astype(np.float32), np.arange(rows)


@pytest.mark.parametrize("seed", range(4))
def test_they_agree_with_scikit_learn_with_and_without_weights(seed):
    prediction, label, group = make(seed)
    chosen = (prediction >= 0.5).astype(int)
    for weight in (None, np.random.default_rng(seed).exponential(size=50)):
        options = {"sample_weight": weight}
        each = [
            reference.log_loss(label[:, c], prediction[:, c], labels=[0, 1], **options) for c in range(label.shape[1])
        ]
        expected = {
            "micro_f1": reference.f1_score(label, chosen, average="micro", **options),
            "macro_f1": reference.f1_score(label, chosen, average="macro", **options),
            "mean_ap": reference.average_precision_score(label, prediction, average="macro", **options),
            "log_loss": np.mean(each),
        }
        found = {name: METRICS[name](prediction, label, group, weight) for name in NAMES}
        assert found == pytest.approx(expected, abs=1e-7)


def test_a_class_that_no_row_has_is_left_out():
    prediction, label, group = make(0)
    label[:, 0] = 0
    expected = reference.average_precision_score(label[:, 1:], prediction[:, 1:], average="macro")
    assert METRICS["mean_ap"](prediction, label, group) == pytest.approx(expected)
    prediction[:, 0] = 0.1
    expected = reference.f1_score(label[:, 1:], prediction[:, 1:] >= 0.5, average="macro")
    assert METRICS["macro_f1"](prediction, label, group) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "mean_ap"])
def test_without_any_label_there_is_no_value(name):
    assert np.isnan(METRICS[name](np.full((3, 2), 0.1), np.zeros((3, 2)), np.arange(3)))
    assert METRICS["micro_f1"].undefined == "needs a row that has or is given a label"


@given(seed=st.integers(0, 10_000), name=st.sampled_from(NAMES))
@settings(max_examples=40, deadline=None)
def test_weight_two_is_the_row_twice(seed, name):
    prediction, label, group = make(seed, rows=20)
    weight = np.random.default_rng(seed).integers(0, 3, size=20)
    index = np.repeat(np.arange(20), weight)
    expected = METRICS[name](prediction[index], label[index], group[index])
    assert METRICS[name](prediction, label, group, weight) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", ["micro_f1", "mean_ap"])
def test_labels_that_are_no_such_ones_are_refused(name):
    with pytest.raises(ValueError, match=r"needs labels \(N, C\), as many as predictions; found \(2,\) and \(2, 2\)"):
        METRICS[name](np.full((2, 2), 0.5), np.array([0, 1]), np.arange(2))
    with pytest.raises(ValueError, match=r"labels must be 1 or 0 for each class; found 2\.0 in row 1"):
        METRICS[name](np.full((2, 2), 0.5), np.array([[0, 1], [1, 2.0]]), np.arange(2))
