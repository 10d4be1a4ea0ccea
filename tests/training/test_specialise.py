"""`specialise`: each task's own parts trained over the shared one, which stays, after the joint training."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from minimal import MINIMAL
from tiny import cut_after, make_tiny_shop, tiny_recipe, trained_files

import peftrec.training.loop
from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.training.loop import fit, train
from peftrec.training.prepare import prepare
from peftrec.training.shrinking import _loss
from peftrec.training.specialise import specialised
from peftrec.training.stopping import SHARES

pytestmark = pytest.mark.usefixtures("quick")

METHODS = {
    "side": {"method": "side", "options": {"rank": 4}},
    "adalora": {"method": "adalora", "options": {"init_r": 3, "target_r": 2, "tinit": 1, "tfinal": 6}},
    "head_only": {"method": "head_only"},
}
TRAIN = {"epochs": 3, "early_stopping": {}, "checkpoint": {"every": "1 step"}}
JOINT, STAGE = 12, 8  # steps


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def recipe_of(shop, method="side", epochs=2, **changes):
    return tiny_recipe(
        shop, adapter=METHODS[method], specialise={"epochs": epochs} if epochs else None, train=TRAIN | changes
    )


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    """The run without the stage, and the one with it."""
    folder = tmp_path_factory.mktemp("runs")
    return train(recipe_of(shop, epochs=0), folder / "joint"), train(recipe_of(shop), folder / "own")


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_shared_part_is_that_of_the_joint_training_and_the_stage_goes_on_from_its_end(runs):
    joint, own = runs
    before, after = trained_files(joint), trained_files(own)
    assert before["parts/shared.safetensors"] == after["parts/shared.safetensors"]
    lines = lines_of(own)
    first = [line for line in lines if "specialise" not in line]
    stage = lines[len(first) :]
    assert [line["step"] for line in first] == [line["step"] for line in lines_of(joint)]
    assert stage[-1]["step"] - first[-1]["step"] == STAGE
    assert stage[-1]["epoch"] == 2
    assert "gradient_norm" not in stage[-1] or "shared" not in stage[-1]["gradient_norm"]


def test_the_report_says_what_of_it_each_task_keeps_and_of_which_step_its_parts_are(runs):
    joint, own = (json.loads((run / "report.json").read_text()) for run in runs)
    assert joint["cost"]["trainable_parameters"] == own["cost"]["trainable_parameters"]
    for name, of in own["tasks"].items():
        assert of["specialised"] in SHARES
        if of["specialised"] == 0:
            assert of["metrics"] == joint["tasks"][name]["metrics"]
            assert of.get("own_step") == joint["tasks"][name].get("own_step")
        else:
            assert of["own_step"] > lines_of(runs[0])[-1]["step"]
        assert of.get("kept") == joint["tasks"][name].get("kept")


@pytest.mark.parametrize("times", [1.0, 1000.0])
def test_no_task_ends_below_the_joint_training_on_its_validation_rows(shop, monkeypatch, times):
    """Neither where the stage's rates are good, nor where they ruin everything."""

    def losses(setup):
        return {name: _loss(setup, name, task) for name, task in setup.tasks.items()}

    def value(loss):
        return loss.of(np.ones(len(loss.cluster)))

    joint = prepare(recipe_of(shop, epochs=0))
    fit(joint)
    setup = prepare(recipe_of(shop, epochs=2))

    @contextmanager
    def other_rates(setup, epochs):
        with specialised(setup, epochs) as own:
            rates = {"lr": times * own.config.lr, "head_lr": times * own.config.head_lr}
            yield replace(own, config=own.config.model_copy(update=rates))

    monkeypatch.setattr(peftrec.training.loop, "specialised", other_rates)
    done = fit(setup)
    for (name, before), after in zip(losses(joint).items(), losses(setup).values(), strict=True):
        assert value(after) <= value(before) + 1e-7, name
        if not done.own_shares[name]:
            assert value(after) == value(before)
    if times > 1:
        assert set(done.own_shares.values()) == {0.0}


@pytest.mark.parametrize(
    ("method", "after"),
    [("side", 5), ("side", JOINT), ("side", JOINT + 3), ("adalora", JOINT + 3), ("head_only", JOINT + 5)],
)
def test_it_goes_on_to_the_same_bytes_wherever_it_was_interrupted(shop, tmp_path, monkeypatch, method, after):
    whole = trained_files(train(recipe_of(shop, method), tmp_path / "whole"))
    assert sum("specialise" not in line and "valid" in line for line in whole["metrics.jsonl"]) == 3
    with cut_after(monkeypatch, after):
        train(recipe_of(shop, method), tmp_path / "run")
    again = trained_files(train(recipe_of(shop, method), tmp_path / "run", resume=True))
    assert [name for name in whole if again.get(name) != whole[name]] == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ({"specialise": {"epochs": 0}}, {}, ["specialise.epochs", "greater than or equal to 1", "found 0"]),
        ({"specialise": {}}, {}, ["specialise.epochs", "Field required"]),
        ({"specialise": {"epochs": 1, "lr": 1}}, {}, ["specialise.lr", "unknown key"]),
        ({"specialise": {"epochs": 1}}, {"refit": True}, ["specialise: train.refit leaves no validation rows"]),
        ({"specialise": {"epochs": 1}}, {"early_stopping": None}, ["specialise: is judged by validation rows"]),
    ],
)
def test_what_it_cannot_be_is_refused(key, value, said):
    with pytest.raises(UserError) as error:
        make_recipe({**MINIMAL, **key, "train": value})
    assert all(part in str(error.value) for part in said), str(error.value)


def test_without_validation_rows_it_is_refused(shop):
    data = tiny_recipe(shop).data.model_dump() | {"split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    with pytest.raises(UserError, match="specialise: there are no validation rows to judge it by; leave it out"):
        prepare(tiny_recipe(shop, data=data, specialise={"epochs": 1}, train={"early_stopping": {}}))
