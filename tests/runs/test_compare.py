"""Runs compared through the command line, on a tiny random model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command import peftrec
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.outcomes import read_outcome
from peftrec.runs.compare import compare_runs
from peftrec.runs.evaluate import evaluate_run
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def runs(shop):
    """A run, one with another learning rate, and one of interest alone with a side network."""
    alone = {"interest": {"kind": "interest", "column": "stars", "threshold": 4}}
    recipes = {
        "one": tiny_recipe(shop),
        "two": tiny_recipe(shop, train={"lr": 1e-3}),
        "alone": tiny_recipe(shop, tasks=alone, adapter={"method": "side"}, train={"batch_size": 16}),
    }
    return {name: train(recipe, shop / name) for name, recipe in recipes.items()}


def test_a_run_keeps_what_it_predicted(runs):
    report = json.loads((runs["one"] / "report.json").read_text())["tasks"]
    query, interest = (read_outcome(runs["one"], task) for task in ("query", "interest"))
    assert query.prediction.shape == (report["query"]["n"], 2) and query.rank is None
    group = np.unique(interest.group, return_inverse=True)[1]
    assert METRICS["gauc"](interest.prediction, interest.label, group) == report["interest"]["metrics"]["gauc"]
    found = of_places("mrr@10")(interest.rank, interest.rank, interest.lists)
    assert found == report["interest"]["metrics"]["mrr@10"]
    assert METRICS["auc"](query.prediction, query.label, query.label) == report["query"]["metrics"]["auc"]
    again = evaluate_run(runs["one"], "test")["tasks"]  # the files belong to the run's weights
    assert again["interest"]["metrics"] == pytest.approx(report["interest"]["metrics"], abs=1e-5)
    assert set(interest.group) <= {f"u{n}" for n in range(16)} and set(interest.item) <= {f"i{n}" for n in range(20)}


def test_differences_are_those_of_the_metrics_and_better_is_above_zero(runs):
    done = peftrec("compare", runs["one"], runs["two"], runs["alone"], "--json")
    assert done.exit_code == 0
    one, two, alone = json.loads(done.stdout).values()
    assert all(task["differences"] == {} for task in one["tasks"].values())
    assert list(two["tasks"]) == ["query", "interest"] and list(alone["tasks"]) == ["interest"]
    for run in (two, alone):
        for task, of in run["tasks"].items():
            assert set(of["differences"]) == set(of["metrics"])
            for metric, found in of["differences"].items():
                known = METRICS.get(metric) or of_places(metric)
                change = of["metrics"][metric] - one["tasks"][task]["metrics"][metric]
                assert found["by"] == pytest.approx(change if known.higher else -change)
                low, high = found["interval"]
                assert low <= high and 0 < found["p"] <= 1
                if low > 0 or high < 0:
                    assert found["p"] < 0.06
    assert [run["train"] for run in (one, two, alone)] == [
        {"batch_size": 32, "lr": 0.01},
        {"batch_size": 32, "lr": 0.001},
        {"batch_size": 16, "lr": 0.01},
    ]
    assert set(one["cost"]) >= {"train_seconds", "peak_memory_mb", "adapter_bytes", "trainable_parameters"}


def test_the_tables_show_every_run_and_verdict(runs):
    shown = peftrec("compare", runs["one"], runs["alone"]).stdout
    assert "query: " in shown and "interest: " in shown and "cost" in shown
    assert shown.count(str(runs["alone"])) == 3  # interest, what it was trained by, and cost
    assert "trained by batch_size: 32" in shown and "trained by batch_size: 16" in shown
    assert shown.endswith("drawn for both runs alike; open: it holds 0\n")
    assert shown.count("gain") == 1 and shown.count("that is") == 1
    costs = shown.partition("cost ")[2].splitlines()[:-2]  # the last is a sentence
    assert max(map(len, costs)) <= len(str(runs["alone"])) + 80


def test_equal_predictions_are_no_difference(runs, shop):
    copy = train(tiny_recipe(shop), shop / "copy")
    for of in compare_runs([runs["one"], copy], resamples=50)[str(copy)]["tasks"].values():
        for found in of["differences"].values():
            assert found == {"by": 0, "interval": [0, 0], "p": 1}


def test_runs_that_share_no_rows_are_refused_with_the_reason(runs, shop):
    data = tiny_recipe(shop).model_dump()["data"]
    tasks = {"interest": {"kind": "interest", "column": "stars", "threshold": 4}}
    quick = {"max_steps": 1}
    events = shop / "fewer.csv"
    events.write_text("".join((shop / "events.csv").read_text().splitlines(keepends=True)[:-8]))
    changed = {
        "split": {"data": {**data, "split": {**data["split"], "valid": 0.3}}, "tasks": tasks},
        "events": {"data": {**data, "events": {**data["events"], "path": str(events)}}, "tasks": tasks},
        "threshold": {"tasks": {"interest": {**tasks["interest"], "threshold": 3}}},
        "seed": {"train": {**quick, "seed": 1}},
        "other": {"tasks": {"stars": {"kind": "regression", "column": "stars"}}},
        "gain": {"tasks": {"query": {"kind": "match-query", "gain": "linear"}}},
    }
    reasons = {
        "split": "data.split differs: kind: global-time, test: 0.2, valid: 0.3 against kind: global-time",
        "events": "the test rows of task 'interest' differ",
        "threshold": "with the same column and threshold",
        "seed": "with the same train.seed where it draws the rows that are held out",
        "other": "no task in common: stars against query, interest",
        "gain": "tasks.query.gain differs: linear against exponential",
    }
    for name, changes in changed.items():
        run = train(tiny_recipe(shop, **{"train": quick, **changes}), shop / f"with-other-{name}")
        done = peftrec("compare", runs["one"], run)
        assert (done.exit_code, done.stdout) == (2, ""), name
        assert reasons[name] in done.stderr


def test_the_order_and_labels_of_rows_matter(runs):
    outcome = read_outcome(runs["one"], "query")
    assert outcome.same_rows(read_outcome(runs["two"], "query"))
    assert not outcome.same_rows(replace(outcome, label=1 - outcome.label))
    assert not outcome.same_rows(replace(outcome, item=outcome.item[::-1]))


def test_a_run_without_predictions_says_so(runs, tmp_path):
    with pytest.raises(UserError, match=r"interest.parquet: missing: .* train it again"):
        read_outcome(tmp_path, "interest")
