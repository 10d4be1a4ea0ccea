"""Whose rows are to blame where a loss or gradient is not finite, and what becomes of the step."""

import json
import os

import pytest
import torch
from tiny import LORA, at_step, kept_recipe, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.machine.files import find_damage
from peftrec.runs.checkpoints import checkpoint_folders, read_checkpoint
from peftrec.training.loop import prepare, train

pytestmark = pytest.mark.usefixtures("quick")

ADALORA = {"method": "adalora", "options": {"init_r": 4, "target_r": 2}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


class Poisoned(torch.autograd.Function):
    """The identity, whose gradient is not finite."""

    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


def poison(monkeypatch, task, bad, what):
    """Give some training rows of a task a loss or a gradient that is no number. They are known by user and time."""
    from peftrec.model.co_learner import CoLearner

    kept = CoLearner.losses

    def losses(self, batches):
        values = kept(self, batches)
        if self.training and task in batches and any(key in bad for key in keys(batches[task])):
            index = list(batches).index(task)
            mask = torch.arange(len(values)) == index
            values = torch.where(mask, values * float("nan") if what == "loss" else Poisoned.apply(values), values)
        return values

    monkeypatch.setattr(CoLearner, "losses", losses)


def keys(examples):
    return list(zip(examples.group.tolist(), examples.time.tolist(), strict=True))


@pytest.fixture(scope="module")
def interest_keys(shop):
    return keys(prepare(tiny_recipe(shop)).dataset.tasks["interest"].train)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_number_that_is_not_finite_names_task_step_and_rows(shop, tmp_path, monkeypatch, interest_keys, what):
    poison(monkeypatch, "interest", {interest_keys[n] for n in (5, 11)}, what)
    with pytest.raises(UserError) as error:
        train(tiny_recipe(shop, train={"batch_size": 1000, "epochs": 2}), tmp_path / "run")
    said = str(error.value)
    assert said.startswith(f"step 1: the {what} of task interest (its training rows ")
    rows = said.partition("training rows ")[2].partition(")")[0]
    assert sorted(map(int, rows.split(", "))) == [5, 11]
    assert "train.non_finite: skip" in said
    assert os.listdir(tmp_path) == []


def test_the_last_good_checkpoint_stays(shop, tmp_path, monkeypatch):
    def poison_now():
        poison(monkeypatch, "query", AnyKey(), "gradient")

    at_step(monkeypatch, 7, poison_now)
    with pytest.raises(
        UserError, match=r"step 8: the gradient of task query \(its training rows \d+, .*, \.\.\.\)"
    ) as e:
        train(kept_recipe(shop), tmp_path / "run")
    assert e.value.__notes__ == ["the training is kept up to step 6"]
    for folder in checkpoint_folders(tmp_path / "run"):
        assert find_damage(folder) is None
        tensors, _ = read_checkpoint(folder)
        assert all(torch.isfinite(t).all() for held in tensors.values() for t in held.values())


class AnyKey:
    def __contains__(self, key):
        return True


@pytest.mark.parametrize("adapter", [LORA, ADALORA])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_such_steps_are_left_out_and_counted(shop, tmp_path, monkeypatch, interest_keys, what, adapter, notes):
    poison(monkeypatch, "interest", {interest_keys[5]}, what)
    run = train(tiny_recipe(shop, adapter=adapter, train={"non_finite": "skip", "log_every": 4}), tmp_path / "run")
    assert json.loads((run / "report.json").read_text())["cost"]["skipped_steps"] == 3  # one in every epoch
    assert notes.readouterr().err.count(f"the {what} of task interest (its training rows 5)") == 3
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(loss is not None for line in lines for loss in line["train_loss"].values())
    assert [line["skipped_steps"] for line in lines if "valid" in line] == [1, 2, 3]
