"""A metric as a function of weights, alone and bound to the grades of a task."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from peftrec.evaluation.metric import mean_of, ratio
from peftrec.evaluation.metrics import METRICS
from peftrec.tasks.grades import Grades


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        METRICS["mae"](np.zeros(1), np.zeros(1), np.zeros(1), np.array([-1.0]))


def test_a_mean_of_nothing_is_no_number():
    assert mean_of(np.array([1, 2, 6]))(np.array([1, 1, 0.5])) == 6 / 2.5
    assert np.isnan(mean_of(np.array([1, 2]))(np.zeros(2))) and np.isnan(ratio(1, 0))


@pytest.mark.parametrize("gain", ["exponential", "linear"])
def test_ndcg_gains_by_the_grades_numbers_the_lowest_included(gain):
    rng = np.random.default_rng(3)
    numbers = np.array([1.0, 2, 3, 5])
    label, group = rng.integers(4, size=120), np.arange(120) % 15
    chances = rng.dirichlet(np.ones(4), 120)
    gains = np.array([1, 3, 7, 31] if gain == "exponential" else [1, 2, 3, 5])
    expected = [
        ndcg_score(gains[label[group == g]][None], (chances[group == g] @ numbers)[None], k=10) for g in range(15)
    ]
    found = METRICS["ndcg@10"].of(Grades(numbers, gain))(chances, label, group)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)
    assert abs(found - METRICS["ndcg@10"](chances, label, group)) > 0.01  # by position


def test_a_group_of_the_lowest_grade_alone_counts_where_that_grade_gains():
    columns = np.tile([0.5, 0.5], (2, 1)), np.zeros(2, int), np.zeros(2, int)
    assert METRICS["ndcg@10"].of(Grades(np.array([1.0, 2]), "exponential"))(*columns) == 1
    assert np.isnan(METRICS["ndcg@10"].of(Grades(np.array([0.0, 2]), "exponential"))(*columns))


def test_other_metrics_read_no_grades():
    assert METRICS["auc"].of(Grades(np.array([1.0, 2]), "linear")) is METRICS["auc"]
    assert METRICS["ndcg@10"].of(None) is METRICS["ndcg@10"]
