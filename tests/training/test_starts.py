"""Heads begin at their task's start: before a step the model predicts what the start says, and a run keeps it."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from tiny import LORA, make_tiny_shop, tiny_recipe

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
    assert start.name == ("tfidf" if method == "full" else "tfidf + frozen_lr") or start.name == "tfidf"
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
