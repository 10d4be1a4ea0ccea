"""A verdict is right where one can say by hand what it must be."""

import numpy as np
import pytest

from benchmarks.card.judge import judged, over_baselines, verdict
from peftrec.evaluation.metrics import METRICS


@pytest.mark.parametrize(
    ("gain", "own", "rival", "higher", "said"),
    [
        ([0.01, 0.2], [0.0, 1.0], 0.5, True, "win"),
        ([-0.2, -0.01], None, 0.5, True, "loss"),
        ([-0.1, 0.1], [0.9, 1.0], 0.5, True, "level"),  # a paired interval decides, whatever the other says
        (None, [0.6, 0.8], 0.5, True, "win"),
        (None, [0.6, 0.8], 0.9, True, "loss"),
        (None, [0.6, 0.8], 0.7, True, "level"),
        (None, [0.6, 0.8], 0.5, False, "loss"),
        (None, [0.6, 0.8], 0.9, False, "win"),
        (None, None, 0.5, True, "level"),
    ],
)
def test_a_verdict_leaves_out_zero_or_the_rival_s_value(gain, own, rival, higher, said):
    assert verdict(gain, own, rival, higher) == said


def test_the_best_baseline_is_the_rival_of_the_same_rows():
    label, group = np.tile([3.0, 5.0], 50), np.arange(100)
    right, near, far = label + 0.1, label + 0.5, label + 2
    found = over_baselines(METRICS["mae"], right, {"near": near, "far": far}, label, group)
    assert found["name"] == "near" and found["all"] == {"near": pytest.approx(0.5), "far": pytest.approx(2)}
    assert found["by"] == pytest.approx(0.4)  # the error is less, which is better
    assert found["interval"] == [pytest.approx(0.4), pytest.approx(0.4)]  # every row says the same


REPORT = {
    "n": 10,
    "metrics": {"mae": 2.0},
    "start": {"mae": 9.0},
    "intervals": {"mae": [1.9, 2.1]},
    "priors": {"median": {"mae": 3.0}, "mean": {"mae": 4.0}},
    "gains": {"mae": {"prior": "median", "by": 1.0, "interval": [0.5, 1.5]}},
}


def test_the_rival_is_the_better_of_prior_and_baseline():
    weak = {"name": "boosting", "value": 3.5, "by": 1.5, "interval": [1.0, 2.0], "all": {}}
    line = judged(REPORT, "mae", False, weak, 5.0)
    assert (line["rival"], line["verdict"], line["start"], line["result"]) == ("median", "win", 9.0, 2.0)
    strong = {"name": "boosting", "value": 1.5, "by": -0.5, "interval": [-0.6, -0.4], "all": {}}
    assert judged(REPORT, "mae", False, strong, 5.0)["verdict"] == "loss"


def test_a_report_without_priors_is_held_against_the_baseline():
    same = {"name": "boosting", "value": 2.05, "by": 0.05, "interval": None, "all": {}}
    line = judged(REPORT | {"gains": {}}, "mae", False, same, 5.0)
    assert (line["prior"], line["rival"], line["verdict"]) == (None, "boosting", "level")
