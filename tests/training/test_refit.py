"""`train.refit`: once validation has chosen how long, training begins anew on the rows of train and valid."""

import json

import numpy as np
import pytest
import torch
from tiny import cut_after, make_tiny_shop, tiny_recipe, trained_files

import peftrec.training.loop
from peftrec.data.joined import train_on_all
from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.runs.evaluate import evaluate_run
from peftrec.tasks.dataset import load_data
from peftrec.training import defaults, shrinking
from peftrec.training.loop import train
from peftrec.training.optim import Cooldown
from peftrec.training.prepare import prepare
from peftrec.training.refit import refit_of
from peftrec.training.snapshot import Progress, Refit

pytestmark = pytest.mark.usefixtures("quick")
PER_EPOCH = 4
SIDE = {"method": "side", "options": {"rank": 4}}
REFIT = {"refit": True, "epochs": 3, "schedule": "cooldown", "early_stopping": {}, "checkpoint": {"every": "1 step"}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", autouse=True)
def keeping():
    """What was learned of so few rows is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinking, "errors_of", lambda loss: -9.0)
        yield


@pytest.fixture(scope="module")
def recipe(shop):
    return tiny_recipe(shop, adapter=SIDE, train=REFIT)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return train(recipe, tmp_path_factory.mktemp("runs") / "run")


def weights(setup):
    return {name: p.detach() for name, p in setup.model.trainable().items()}


def read(run):
    return json.loads((run / "report.json").read_text()), [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (Progress(step=12, kept=12), Refit(12, 3.0, 0.0)),  # a schedule to its end
        (Progress(step=12, kept=0), Refit(12, 0.0, 0.0)),  # the start
        (Progress(step=20, kept=20, cooldown=Cooldown(16, 4, best=8)), Refit(20, 2.0, 1.0)),
        (Progress(step=20, kept=8, cooldown=Cooldown(16, 4, best=8)), Refit(20, 2.0, 0.0)),  # cooled in vain
    ],
)
def test_its_length_is_the_way_to_the_weights_that_were_kept(recipe, done, expected):
    assert refit_of(prepare(recipe), done) == expected


def test_all_rows_are_train_rows_and_none_is_left(recipe):
    data = load_data(recipe)
    every = train_on_all(data)
    for name, of in data.tasks.items():
        own = every.tasks[name]
        assert (len(own.train), len(own.valid)) == (len(of.train) + len(of.valid), 0)
        assert own.test is of.test
        assert own.train.label.tolist() == [*of.train.label.tolist(), *of.valid.label.tolist()]
        np.testing.assert_array_equal(own.train.time, [*of.train.time, *of.valid.time])
        for slot, rows in of.train.slots.items():
            assert own.train.slots[slot].tolist() == [*rows.tolist(), *of.valid.slots[slot].tolist()]
    before, after = data.tasks["interest"], every.tasks["interest"]
    late = after.train.history().rows[len(before.train) :]
    assert late.tolist() == before.valid.history().rows.tolist()
    assert after.train.inputs()[len(before.train) :].tolist() == before.valid.inputs().tolist()


def test_the_run_is_the_second_training_and_says_so(recipe, run):
    report, lines = read(run)
    first = [line for line in lines if "refit" not in line]
    second = lines[len(first) :]
    data = load_data(recipe).tasks
    rows = {name: len(of.train) + len(of.valid) for name, of in data.items()}
    assert report["refit"]["train_rows"] == rows
    assert report["refit"]["valid_rows"] == 0
    assert all(line["valid"] == {} for line in second if "valid" in line)
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert second[-1]["step"] - first[-1]["step"] == report["refit"]["steps"] > 0
    an_epoch = -(-sum(rows.values()) // 32)
    assert second[-1]["epoch"] == report["refit"]["steps"] / an_epoch
    assert report["refit"]["steps"] == pytest.approx(report["refit"]["epochs"] * an_epoch, abs=1)
    assert not [line for line in report["notes"] if "no validation rows" in line]  # the first training had some
    assert report["train"]["early_stopping"]["patience"] == prepare(recipe).config.early_stopping.patience
    assert "refit: true" in (run / "run.yaml").read_text()


@pytest.mark.parametrize("schedule", ["linear", "cooldown"])
def test_it_has_no_more_steps_than_max_steps_though_its_epochs_have_more(shop, schedule, tmp_path):
    given = {"epochs": 9, "max_steps": 4 * PER_EPOCH, "schedule": schedule, "batch_size": 32, "early_stopping": None}
    run = train(tiny_recipe(shop, adapter=SIDE, train={**REFIT, **given}), tmp_path / "run")
    report, lines = read(run)
    assert max(line["step"] for line in lines if "refit" not in line) == 4 * PER_EPOCH
    again = report["refit"]
    assert again["steps"] == 4 * PER_EPOCH
    assert again["epochs"] == again["steps"] / -(-sum(again["train_rows"].values()) // 32) < 4


def test_it_is_measured_again_as_its_report_says_and_never_on_valid(run):
    again, (report, _) = evaluate_run(run, "test"), read(run)
    for name, of in again["tasks"].items():
        assert of["metrics"] == pytest.approx(report["tasks"][name]["metrics"], abs=1e-4)
        assert of["priors"].keys() == report["tasks"][name]["priors"].keys()
        for prior, values in of["priors"].items():
            assert values == pytest.approx(report["tasks"][name]["priors"][prior], abs=1e-4)
    with pytest.raises(UserError, match=r"has no valid rows left: it was trained on them too \(train\.refit\); take"):
        evaluate_run(run, "valid")


def test_it_is_the_training_of_so_many_steps_on_all_rows(shop, tmp_path, monkeypatch):
    """Without early stopping: the same as a training whose data have no validation rows, but for what data are."""
    plain = {"refit": True, "epochs": 2}
    kept = []
    finish = peftrec.training.loop.finish
    monkeypatch.setattr(peftrec.training.loop, "finish", lambda *args: kept.append(args[1]) or finish(*args))
    train(tiny_recipe(shop, adapter=SIDE, train=plain), tmp_path / "run")
    again = prepare(tiny_recipe(shop, adapter=SIDE, train=plain), settled_as=kept[0].config)
    peftrec.training.loop.fit(again)
    found, expected = weights(kept[0]), weights(again)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    one = prepare(tiny_recipe(shop, adapter=SIDE, train={"epochs": 2}))
    peftrec.training.loop.fit(one)
    assert any(not torch.equal(found[name], p) for name, p in weights(one).items())


@pytest.mark.parametrize("dies", ["in the first", "as it begins", "in the second", "cooling down"])
def test_it_goes_on_to_the_same_bytes_wherever_it_was_interrupted(recipe, run, tmp_path, monkeypatch, dies):
    _, lines = read(run)
    first = max(line["step"] for line in lines if "refit" not in line)
    last = lines[-1]["step"]
    after = {"in the first": 5, "as it begins": first, "in the second": first + 2, "cooling down": last - 1}[dies]
    with cut_after(monkeypatch, after):
        train(recipe, tmp_path / "run")
    again = trained_files(train(recipe, tmp_path / "run", resume=True))
    expected = trained_files(run)
    assert [name for name in expected if again.get(name) != expected[name]] == []


def test_the_start_that_was_kept_is_fitted_again_without_steps(shop, tmp_path, notes):
    ruinous = {**REFIT, "lr": 30.0, "head_lr": 30.0, "warmup": 0.0}
    report, lines = read(train(tiny_recipe(shop, adapter=SIDE, train=ruinous), tmp_path / "run"))
    assert (report["refit"]["steps"], report["refit"]["epochs"]) == (0, 0)
    assert all("refit" not in line for line in lines)
    assert {name: of["metrics"] for name, of in report["tasks"].items()} == {
        name: {**of["metrics"], **of["start"]} for name, of in report["tasks"].items()
    }
    assert "train.refit: again on the rows of train and valid (query " in notes.readouterr().err


@pytest.mark.parametrize(
    ("shares", "trained"),
    [({"interest": 0.0}, False), ({"interest": 0.25}, True), ({}, True), ({"next": 0.0, "interest": 0.0}, True)],
)
def test_where_nothing_was_kept_of_what_was_learned_there_is_nothing_to_train(recipe, shares, trained):
    """Of items of a catalogue the vectors have changed all the same."""
    raw = recipe.model_dump()
    tasks = {"interest": raw["tasks"]["interest"], "next": {"kind": "next-item"}}
    setup = prepare(make_recipe(raw | {"tasks": {name: tasks[name] for name in {"interest": 0, **shares}}}))
    found = refit_of(setup, Progress(step=12, kept=12, shares=shares))
    assert found.first == 12 and (found.main > 0) == trained


@pytest.mark.parametrize("said", [{}, {"refit": False}])
def test_by_default_few_rows_are_trained_on_again(shop, tmp_path, monkeypatch, said):
    monkeypatch.setattr(defaults, "REFIT_ROWS", 1000)
    kept = {name: of for name, of in REFIT.items() if name != "refit"}
    run = train(tiny_recipe(shop, adapter=SIDE, train={**kept, **said}), tmp_path / "run")
    report, lines = read(run)
    assert report["train"]["refit"] is ("refit" in report) is any("refit" in line for line in lines) is not said
    assert evaluate_run(run, "test")["tasks"]["query"]["n"] == report["tasks"]["query"]["n"]


def test_without_validation_rows_there_is_nothing_to_add(shop):
    data = tiny_recipe(shop).data.model_dump() | {"split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    with pytest.raises(UserError, match=r"train\.refit: there are no validation rows to train on as well; leave it"):
        prepare(tiny_recipe(shop, data=data, train={"refit": True}))
