"""Values beside those of priors; whole reports are held against the data in test_evaluate.py."""

import numpy as np
import pytest

from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.values import PARTS, Columns, listed, measure, merge, number_or_none

LABEL, GROUP = np.array([0.0, 1, 2, 4, 4, 5]), np.array([0, 0, 1, 1, 2, 2])


def test_the_best_prior_is_the_one_with_the_least_error():
    priors = {"far": LABEL + 3, "near": LABEL + 1}
    columns = Columns(LABEL, GROUP, GROUP)
    report = measure({"mae": METRICS["mae"]}, LABEL + 2, priors, columns, resamples=20)
    assert set(report) == set(PARTS) and report["metrics"] == {"mae": 2}
    assert report["gains"]["mae"] == {"prior": "near", "by": -1, "interval": [-1, -1]}
    plain = measure({"mae": METRICS["mae"]}, LABEL + 2, priors, columns, resamples=0, gains=False)
    assert plain["gains"] == {} == plain["intervals"] and plain["priors"] == report["priors"]


def test_some_rows_and_lists_of_users():
    some = Columns(LABEL, GROUP, GROUP).take(np.array([1, 4]))
    assert (some.label.tolist(), some.group.tolist(), len(some)) == ([1, 4], [0, 2], 2)
    place = np.array([1.0, 3, 2])
    of_users = listed(np.array([0, 0, 1]), np.array([7, 7, 7]))
    report = measure({"recall@1": of_places("recall@1")}, place, {}, of_users, resamples=20)
    assert report["metrics"] == {"recall@1": 0.25} and report["intervals"] == {"recall@1": None}  # of one user


def test_what_was_measured_of_other_metrics_is_added():
    report = {part: {} for part in PARTS}
    for name, shift in (("mae", 1), ("rmse", 2)):
        priors = {"near": LABEL + shift}
        merge(report, measure({name: METRICS[name]}, LABEL, priors, Columns(LABEL, GROUP, GROUP), 0))
    assert report["metrics"] == {"mae": 0, "rmse": 0}
    assert report["priors"] == {"near": {"mae": 1, "rmse": pytest.approx(2)}}
    assert number_or_none(np.nan) is None and number_or_none(0.5) == 0.5
