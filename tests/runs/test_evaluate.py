"""A run measured again is what training measured."""

import json

import pytest

from peftrec.runs.evaluate import evaluate_run


def test_the_run_predicts_what_training_measured(shop, shop_run):
    report = json.loads((shop_run / "report.json").read_text())
    again = evaluate_run(shop_run, "test")
    for task, of in again["tasks"].items():
        for name, value in of["metrics"].items():
            expected = report["tasks"][task]["metrics"][name]
            assert value == (None if expected is None else pytest.approx(expected, abs=1e-5)), (task, name)
