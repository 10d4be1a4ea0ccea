"""Texts with several labels, weights and no validation rows, from a file to a run and its answers."""

import json

import numpy as np
import pytest
from command import peftrec
from shop import write_csv
from sklearn import metrics as reference
from tiny import make_tiny_shop, tiny_recipe

from peftrec import Predictor
from peftrec.errors import UserError
from peftrec.evaluation.outcomes import read_outcome
from peftrec.recipe import dump_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

TAGS = {"kind": "classification", "label": {"column": "tags"}}
TONE = {"kind": "classification", "label": "tone", "class_weight": {"bad": 4}, "row_weight": "sure", "weight": 0.5}
NEVER = {"kind": "given", "column": "never", "valid": 0}  # no row is valid, and none shall be
STOPS = {"lr": 1e-2, "head_lr": 5e-2, "epochs": 3, "early_stopping": {"patience": 3}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("tiny")), np.random.default_rng(0)
    rows = []
    for n in range(120):
        words = [f"w{w}" for w in random.choice(6, 3, replace=False)]  # three of six words are tags
        tags = [word for word in words if word in ("w0", "w1", "w2")]
        tone = "bad" if n % 8 == 0 else "good"
        part = ("train", "train", "valid", "test")[n // 30]
        row = {"text": " ".join([*words, f"w{50 + n % 60}"]), "tags": "|".join(tags), "tone": tone, "part": part}
        rows.append({**row, "sure": 1 + n % 3, "never": ("train", "train", "train", "test")[n // 30]})
    write_csv(folder / "notes.csv", rows)
    return folder


def recipe(shop, tasks, part="part", **changes):
    texts = {"path": str(shop / "notes.csv"), "text": "{text}", "split": part}
    data = {"texts": texts, "split": {"kind": "given"}}
    return tiny_recipe(shop, data=data, tasks=tasks, adapter={"method": "side"}, **changes)


@pytest.fixture(scope="module")
def run(shop):
    return train(recipe(shop, {"tags": TAGS, "tone": TONE}, train=STOPS), shop / "run")


def test_several_labels_are_measured_as_scikit_learn_does_and_start_at_their_rates(run):
    report = json.loads((run / "report.json").read_text())["tasks"]["tags"]
    found = read_outcome(run, "tags")
    assert found.label.shape == found.prediction.shape == (report["n"], 3)
    chosen = found.prediction >= 0.5
    assert report["metrics"] == pytest.approx(
        {
            "micro_f1": reference.f1_score(found.label, chosen, average="micro"),
            "macro_f1": reference.f1_score(found.label, chosen, average="macro"),
            "mean_ap": reference.average_precision_score(found.label, found.prediction, average="macro"),
            "log_loss": reference.log_loss(found.label.ravel(), found.prediction.ravel().astype(float)),
        },
        abs=1e-6,
    )
    assert list(report["priors"]) == ["majority", "tfidf", "frozen_lr", "layers_lr", "other_tasks"]
    assert report["began_at"].startswith("tfidf")  # the tags are words of the text
    assert (
        max(report["start"]["log_loss"], report["metrics"]["log_loss"]) < report["priors"]["majority"]["log_loss"] / 4
    )
    card = (run / "README.md").read_text()
    assert "| mAP ↑ |" in card and "| micro-F1 ↑ |" in card


def test_it_answers_with_labels(run):
    answer, _ = Predictor.load(run).predict("tags", [{"text": "w0 w1 w4"}, {"text": "w3 w4 w5"}])
    assert answer["labels"] == [name for name, p in answer["probabilities"].items() if p >= 0.5]
    assert list(answer["probabilities"]) == ["w0", "w1", "w2"]


def test_weights_reach_the_report_the_log_and_the_card_but_not_the_metrics(shop, run):
    rows = load_data(recipe(shop, {"tone": TONE})).tasks["tone"]
    assert rows.train.weight.mean() == pytest.approx(1)
    report = json.loads((run / "report.json").read_text())["tasks"]["tone"]
    found = read_outcome(run, "tone")
    each = -np.log(found.prediction[np.arange(30), found.label].astype(float))
    assert report["weighted_loss"] == pytest.approx((rows.test.weight * each).mean(), rel=1e-5)
    assert report["metrics"]["log_loss"] == pytest.approx(each.mean(), rel=1e-5)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    valid = [line["valid"] for line in lines if "valid" in line]
    assert all(
        of["tone"]["weighted_loss"] != of["tone"]["log_loss"] and "weighted_loss" not in of["tags"] for of in valid
    )
    assert "- tone: rows count by their weight in the loss" in (run / "README.md").read_text()
    again = peftrec("evaluate", run, "--json")
    assert json.loads(again.stdout)["tasks"]["tone"]["weighted_loss"] == pytest.approx(
        report["weighted_loss"], rel=1e-4
    )


def test_runs_with_several_labels_compare(shop, run):
    other = train(recipe(shop, {"tags": TAGS}, train={"epochs": 1}), shop / "other")
    done = peftrec("compare", run, other, "--json")
    differences = json.loads(done.stdout)[str(other)]["tasks"]["tags"]["differences"]
    assert set(differences) == {"micro_f1", "macro_f1", "mean_ap", "log_loss"} and differences["mean_ap"]["interval"]


@pytest.mark.parametrize("verb", ["check", "train"])
def test_early_stopping_without_validation_rows_is_refused(shop, tmp_path, verb):
    file = tmp_path / "never.yaml"
    file.write_text(dump_recipe(recipe(shop, {"tags": TAGS, "tone": TONE}, NEVER, train=STOPS)))
    done = peftrec(verb, file, *(["--run", tmp_path / "run"] if verb == "train" else []))
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        "train.early_stopping: needs validation rows, of which there are none for tags, tone; give them a share"
        in done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["never.yaml"]


def test_a_watched_metric_needs_the_rows_of_its_task_alone(shop, tmp_path, notes):
    stops = {**STOPS, "max_steps": 1, "early_stopping": {"metric": "query.auc"}}
    data = tiny_recipe(shop).data.model_dump(mode="json", exclude_defaults=True)
    data["texts"] = {"path": str(shop / "notes.csv"), "text": "{text}", "split": NEVER}
    tasks = {"tone": TONE, "query": {"kind": "match-query"}}
    both = tiny_recipe(shop, data=data, tasks=tasks, adapter={"method": "side"}, train=stops)
    assert (train(both, tmp_path / "run") / "report.json").is_file()
    stops["early_stopping"] = {}  # nothing was asked for: what has rows is watched
    assert train(tiny_recipe(shop, data=data, tasks=tasks, train=stops), tmp_path / "other").is_dir()
    assert "tone: no validation rows: early stopping does not watch it; give them a share" in notes.readouterr().err
    stops["early_stopping"] = {"patience": 2}
    with pytest.raises(
        UserError, match=r"train\.early_stopping: needs validation rows, of which there are none for tone"
    ):
        train(tiny_recipe(shop, data=data, tasks=tasks, train=stops), tmp_path / "third")
