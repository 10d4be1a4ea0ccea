"""What a finished training writes beside its weights."""

import json

import pytest
from tiny import make_tiny_shop, tiny_recipe

from peftrec.evaluation.evaluate import evaluate
from peftrec.training.loop import train
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

pytestmark = pytest.mark.usefixtures("quick")


def test_the_report_has_each_task_now_and_before_and_what_it_was_trained_by(tmp_path):
    recipe = tiny_recipe(make_tiny_shop(tmp_path))
    run = train(recipe, tmp_path / "run")
    report = json.loads((run / "report.json").read_text())
    setup = prepare(recipe)
    begin(setup)
    before = evaluate(setup.model, setup.dataset, setup.tasks, "test", resamples=0, priors=False)["tasks"]
    for name, of in report["tasks"].items():
        assert of["start"] == pytest.approx(before[name]["metrics"])
        assert of["metrics"].keys() >= of["start"].keys() and of["priors"]
    assert report["train"] == setup.config.model_dump(mode="json")
    assert report["cost"]["total_seconds"] >= report["cost"]["train_seconds"] > 0
    assert "refit" not in report and report["environment"]["packages"]
    assert (run / "README.md").is_file() and (run / "metrics.jsonl").is_file() and (run / "test").is_dir()
