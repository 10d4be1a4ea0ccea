"""Heads begin at their task's start: before a step the model predicts what the start says, and a run keeps it."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from shop import write_csv
from tiny import LORA, make_tiny_shop, tiny_recipe

from peftrec.evaluation.outcomes import read_outcome
from peftrec.runs.evaluate import evaluate_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.starts import base as module
from peftrec.tasks.starts import start_of
from peftrec.training.loop import train
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

TOLD = {"told": {"kind": "classification"}}
FULL = {"full": {"sharing": "shared"}}
STOP = {"epochs": 4, "batch_size": 32, "lr": 1e-2, "early_stopping": {"patience": 1}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Texts of three classes, told by their first word."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    lines = [f"w{n % 3} w{10 + n * 7 % 90},{'abc'[n % 3]}" for n in range(150)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder


def recipe_of(shop, **changes):
    texts = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "label", "split": "random"}
    return tiny_recipe(shop, data={"texts": texts}, tasks=TOLD, **changes)


@pytest.mark.parametrize("method", ["head_only", "lora", "side", "bottleneck", "full"])
def test_before_a_step_the_model_says_what_the_start_says(shop, method):
    setup = prepare(recipe_of(shop, adapter=LORA if method == "lora" else {"method": method, **FULL.get(method, {})}))
    begin(setup)
    data = setup.dataset.tasks["told"]
    start = start_of(data)
    parts = set(start.name.split(" + "))
    assert "tfidf" in parts and parts <= {"tfidf", *([] if method == "full" else ["frozen_lr", "layers_lr"])}
    said = setup.model.predict("told", data.test)
    assert said == pytest.approx(softmax(start(data.test), axis=1), abs=1e-5)
    assert (said.argmax(1) == data.test.label).all()
    assert not np.array_equal(data.train.offset, start(data.train))  # by what was not fitted on them
    rows = np.array([3, 1])
    assert np.array_equal(data.train.take(rows).begin(), data.train.offset[rows])
    again = setup.dataset
    begin(setup)
    assert setup.dataset is again


def test_of_many_rows_what_the_start_says_is_computed_when_they_are_read(shop, monkeypatch):
    monkeypatch.setattr(module, "KEPT_ROWS", 10)
    setup = prepare(recipe_of(shop))
    begin(setup)
    test = setup.dataset.tasks["told"].test
    assert test.offset is None and np.array_equal(test.begin(), start_of(setup.dataset.tasks["told"])(test))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(recipe_of(shop, train=STOP), tmp_path_factory.mktemp("run") / "run")


def test_the_report_says_where_it_began(run, shop):
    report = json.loads((run / "report.json").read_text())["tasks"]["told"]
    assert report["began_at"].startswith("tfidf") and report["start"]["accuracy"] == 1.0
    described = json.loads((run / "model.json").read_text())["tasks"]["told"]["start"]
    assert described["name"] == report["began_at"] and (run / "starts" / "told.safetensors").is_file()


def test_a_run_predicts_as_it_did(run, shop):
    setup = prepare(recipe_of(shop))
    test = setup.dataset.tasks["told"].test
    texts = [setup.dataset.texts.texts[row] for row in test.slots["text"]]
    said = Predictor.load(run, cache=False).predict("told", [{"text": text} for text in texts])
    report = json.loads((run / "report.json").read_text())["tasks"]["told"]
    hits = [of["label"] == "abc"[label] for of, label in zip(said, test.label, strict=True)]
    assert np.mean(hits) == report["metrics"]["accuracy"]
    own = [-np.log(of["probabilities"]["abc"[label]]) for of, label in zip(said, test.label, strict=True)]
    assert np.mean(own) == pytest.approx(report["metrics"]["log_loss"], abs=1e-3)


def test_a_head_that_an_earlier_run_gave_begins_where_it_began(run, shop):
    setup = prepare(recipe_of(shop, init_from=str(run)))
    begin(setup)
    kept = setup.model.head("told").state_dict()
    stored = Predictor.load(run, cache=False)
    assert all(torch.equal(of, stored.model.head("told").state_dict()[name]) for name, of in kept.items())
    report = json.loads((run / "report.json").read_text())["tasks"]["told"]
    said = setup.model.predict("told", setup.dataset.tasks["told"].test)
    label = setup.dataset.tasks["told"].test.label
    assert -np.log(said[np.arange(len(label)), label]).mean() == pytest.approx(report["metrics"]["log_loss"], abs=1e-3)


GROUPS, EACH = 40, 5


@pytest.fixture(scope="module")
def rows_of_kind(tmp_path_factory):
    """A recipe of a shop whose users each buy four of a kind's five items, told by their words alone: a kind is bought
    by one user, one after the other, so that nobody bought before what test rows ask for."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("kinds"))
    random, events = np.random.default_rng(0), []
    kinds = [" ".join(f"w{word}" for word in random.integers(0, 120, 4)) for _ in range(GROUPS)]
    items = [{"id": f"i{n}", "title": f"{kinds[n // EACH]} w{n % EACH}"} for n in range(GROUPS * EACH)]
    for kind in range(GROUPS):
        for place, item in enumerate(random.permutation(EACH)[: EACH - 1].tolist()):
            time = 1_600_000_000 + 100_000 * kind + 1_000 * place
            events.append({"user": f"u{kind}", "item": f"i{EACH * kind + item}", "time": time, "stars": 5})
    write_csv(folder / "items.csv", items)
    write_csv(folder / "events.csv", events)

    def recipe(method="head_only", **changes):
        adapter = {"method": method, **FULL.get(method, {})}
        return tiny_recipe(folder, tasks={"next": {"kind": "next-item"}}, adapter=adapter, train=STOP, **changes)

    return recipe


def test_what_is_next_begins_at_texts_alike_and_a_run_keeps_them(rows_of_kind, tmp_path):
    run = train(rows_of_kind(), tmp_path / "run")
    report = json.loads((run / "report.json").read_text())["tasks"]["next"]
    assert " alike" in report["began_at"]
    # The first of a user's four items is of a kind that nobody has bought; the other three are found.
    assert report["start"]["hr@10"] == pytest.approx(0.75, abs=0.05)
    assert report["priors"]["item_item"]["hr@10"] < 0.3
    again = evaluate_run(run, "test")["tasks"]["next"]["metrics"]
    assert again["ndcg@10"] == pytest.approx(report["metrics"]["ndcg@10"], abs=1e-6)
    after = train(rows_of_kind(init_from=str(run)), tmp_path / "after")
    for of in (run, after):
        asked = Predictor.load(of).recommend("next", history=["i195", "i198"], k=3)
        assert {one["item"] for one in asked} == {"i196", "i197", "i199"}


def test_a_backbone_that_is_trained_itself_finds_nothing_alike(rows_of_kind):
    setup = prepare(rows_of_kind("full"))
    begin(setup)
    assert "alike" not in setup.began_at("next") and setup.dataset.tasks["next"].train.catalogue.alike is None


def test_of_very_many_items_texts_are_not_compared(rows_of_kind, monkeypatch):
    monkeypatch.setattr("peftrec.training.starts.TEXTS", GROUPS * EACH - 1)
    setup = prepare(rows_of_kind())
    monkeypatch.setattr("peftrec.training.starts.fit_texts", None)  # nor is anything encoded for it
    begin(setup)
    assert "alike" not in setup.began_at("next") and setup.dataset.tasks["next"].train.catalogue.alike is None


def test_where_texts_alike_count_for_nothing_they_are_not_kept(rows_of_kind, monkeypatch):
    monkeypatch.setattr("peftrec.tasks.mixing.TOGETHER", ([0], [1], [2], [3, 4]))
    setup = prepare(rows_of_kind())
    begin(setup)
    assert "alike" not in setup.began_at("next") and setup.dataset.tasks["next"].train.catalogue.alike is None


def test_a_task_of_few_labels_keeps_what_it_reads_of_another_in_its_own_run(shop, tmp_path):
    """A category that few texts have, beside an intent that all have, of which it follows: most words are new to it."""
    lines = [f"w{n % 40},{n % 40 % 4},{n % 40 % 4 // 2 if n % 40 % 3 == 0 and n < 160 else ''}" for n in range(600)]
    lines += [f"w{n % 40},,{n % 40 % 4 // 2}" for n in range(600, 640)]
    (shop / "both.csv").write_text("\n".join(["text,intent,category", *lines]) + "\n")
    texts = {"path": str(shop / "both.csv"), "text": "{text}", "split": "random"}
    tasks = {name: {"kind": "classification", "label": name} for name in ("category", "intent")}
    trained = train(tiny_recipe(shop, data={"texts": texts}, tasks=tasks, train=STOP), tmp_path / "run")
    described = json.loads((trained / "model.json").read_text())["tasks"]
    assert "other_tasks" in described["category"]["start"]["name"]
    assert list(described["category"]["start"]["parts"]["other_tasks"]["others"]) == ["intent"]
    assert "other_tasks" in json.loads((trained / "report.json").read_text())["tasks"]["category"]["priors"]
    found = read_outcome(trained, "category")
    setup = prepare(tiny_recipe(shop, data={"texts": texts}, tasks=tasks))
    asked = [{"text": setup.dataset.texts.texts[row]} for row in setup.dataset.tasks["category"].test.slots["text"]]
    answers = Predictor.load(trained).predict("category", asked)
    said = np.array([list(answer["probabilities"].values()) for answer in answers])
    assert said == pytest.approx(found.prediction, abs=1e-6)
