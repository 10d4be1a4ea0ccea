"""Validation scores are those of evaluating the validation rows, of the tasks that are trained and have some."""

from dataclasses import replace

import numpy as np
from tiny import make_tiny_shop, prepared

from peftrec.evaluation.evaluate import evaluate
from peftrec.training.validation import validate


def test_scores_are_the_metrics_of_the_validation_rows(tmp_path):
    setup = prepared(make_tiny_shop(tmp_path))
    report = evaluate(setup.model, setup.dataset, setup.tasks, "valid", resamples=0, priors=False)
    told: list = []
    found = validate(setup, told.append)
    assert found == {name: of["metrics"] for name, of in report["tasks"].items()} and told == [found]
    data = setup.dataset.tasks
    data["query"] = replace(data["query"], valid=data["query"].valid.take(np.arange(0)))
    assert validate(setup).keys() == {"interest"}
