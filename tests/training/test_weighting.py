"""Every weighting of the table, and one from outside: made, asked, resumed to the byte, exact in parts; and what is
refused."""

import json
import os
from typing import get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny import at_step, fail, make_tiny_shop, tiny_recipe, trained_files

from peftrec.errors import Diverged, UserError
from peftrec.model.co_learner import CoLearner
from peftrec.runs.checkpoints import checkpoint_folders, read_checkpoint
from peftrec.training.loop import prepare, train
from peftrec.training.step import joint_backward
from peftrec.training.weighting import WEIGHTINGS, Needs, Weighting, make_weighting, weigh

pytestmark = pytest.mark.usefixtures("quick", "outsiders")

OUTSIDE = """
import torch
from peftrec.training.weighting import Weighting

class Smoothed(Weighting):
    needs = "losses"

    def __init__(self, lambdas, keep=0.5):
        super().__init__(lambdas)
        if not 0 <= keep < 1:
            raise ValueError(f"keep must be from 0 to 1; found {keep}")
        self.keep = keep
        self.register_buffer("mean", torch.ones(len(lambdas)))

    def forward(self, losses):
        self.mean.mul_(self.keep).add_((1 - self.keep) * losses)
        return self.lambdas / self.mean

class Answer(Weighting):
    needs = "losses"

    def __init__(self, lambdas, answer):
        super().__init__(lambdas)
        self.answer = answer

    def forward(self, losses):
        return torch.tensor(self.answer) if isinstance(self.answer, list) else self.answer

class Silent(Weighting):
    def forward(self, losses):
        return self.lambdas

class Demanding(Silent):
    needs = "gramian"

class Unfinished(Weighting):
    needs = "nothing"

class Plain(torch.nn.Module):
    def __init__(self, lambdas):
        raise AssertionError("called before it was checked")

def function(lambdas):
    raise AssertionError("called before it was checked")
"""
METHODS = [*WEIGHTINGS, "outside.weightings:Smoothed"]


@pytest.fixture(scope="module")
def outsiders(tmp_path_factory):
    """A package of somebody else's, on the path."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "outside").mkdir()
    (folder / "outside" / "__init__.py").write_text("")
    (folder / "outside" / "weightings.py").write_text(OUTSIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def recipe_of(shop, method, options=None, **changes):
    return tiny_recipe(shop, weighting={"method": method, "options": options or {}}, **changes)


def made(shop, method, **options):
    recipe = recipe_of(shop, method, options)
    return make_weighting(recipe.weighting, recipe)


def test_the_table_is_covered():
    assert len(METHODS) == len(WEIGHTINGS) + 1 >= 2


@pytest.mark.parametrize("method", METHODS)
def test_it_gives_a_finite_weight_a_task(shop, method):
    weighting = made(shop, method)
    assert isinstance(weighting, Weighting) and weighting.needs in get_args(Needs)
    assert weighting.lambdas.tolist() == [1.0, 0.5]
    for losses in ([0.7, 0.2], [0.0, 3.0], [5.0, 5.0]):
        weights = weigh(weighting, ["query", "interest"], torch.tensor(losses))
        assert weights.shape == (2,) and torch.isfinite(weights).all() and not weights.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_it_ends_in_the_same_bytes(shop, tmp_path, method):
    recipe = recipe_of(shop, method, train={"checkpoint": {"every": "3 steps"}})
    whole = train(recipe, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 7, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "run")
    tensors, _ = read_checkpoint(checkpoint_folders(tmp_path / "run")[-1])
    state = make_weighting(recipe.weighting, recipe).state_dict()
    assert {name: t.shape for name, t in tensors.get("weighting", {}).items()} == {n: t.shape for n, t in state.items()}
    train(recipe, tmp_path / "run", resume=True)
    assert trained_files(tmp_path / "run") == trained_files(whole)


def test_the_state_from_outside_is_what_the_losses_made_of_it(shop, tmp_path):
    recipe = recipe_of(shop, METHODS[-1], {"keep": 0.75}, train={"checkpoint": {"every": "1 step"}})
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 3, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "r")
    tensors, values = read_checkpoint(checkpoint_folders(tmp_path / "r")[-1])
    expected = torch.ones(2)
    for line in values["state"]["progress"]["history"]:
        expected = 0.75 * expected + 0.25 * torch.tensor([line["train_loss"][task] for task in ("query", "interest")])
        weights = torch.tensor([line["weight"][task] for task in ("query", "interest")])
        torch.testing.assert_close(weights, torch.tensor([1.0, 0.5]) / expected)
    torch.testing.assert_close(tensors["weighting"]["mean"], expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_parts_weighs_as_the_whole_step_does(shop, tmp_path, method):
    steady = {"dropout": 0.0, "optimizer": "sgd", "lr": 0.1, "head_lr": 0.1, "max_steps": 6}
    adapter = {"method": "lora", "options": {"r": 2, "lora_dropout": 0.0}}
    runs = [
        train(recipe_of(shop, method, adapter=adapter, train={**steady, "accumulate": parts}), tmp_path / str(parts))
        for parts in (1, 3)
    ]
    whole, parts = ([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs)
    assert len(whole) == len(parts) == 6
    for one, other in zip(whole, parts, strict=True):
        for quantity in ("train_loss", "weight", "gradient_norm"):
            assert other[quantity] == pytest.approx(one[quantity], rel=1e-4), quantity


def test_memory_that_runs_out_in_the_forward_pass_does_not_make_a_part_s_losses_the_step_s(shop, monkeypatch):
    """The step is then cut in two, and the weights are still those of the losses of all its rows."""
    weights, kept = [], CoLearner.losses
    adapter = {"method": "lora", "options": {"r": 2, "lora_dropout": 0.0}}
    for limit in (1000, 40):
        setup = prepare(recipe_of(shop, METHODS[-1], adapter=adapter, train={"dropout": 0.0}))
        setup.model.encoder.update()
        tasks = {name: of.train for name, of in setup.dataset.tasks.items()}
        rows = {name: np.arange(24) for name in tasks}

        def losses(self, batches, limit=limit):
            if sum(map(len, batches.values())) > limit:
                raise torch.OutOfMemoryError("out of memory")
            return kept(self, batches)

        monkeypatch.setattr(CoLearner, "losses", losses)
        weighting = make_weighting(setup.recipe.weighting, setup.recipe)
        found = joint_backward(setup.model.train(), tasks, rows, weighting, Accelerator())
        weights.append(found[1])
        assert setup.model.parts == (1 if limit == 1000 else 2)
    torch.testing.assert_close(weights[1], weights[0])


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("function", {}, r"weightings:function must be a subclass of peftrec.training.weighting.Weighting with a `fo"),
        ("Plain", {}, r"outside.weightings:Plain must be a subclass of .*; found <class 'outside.weightings.Plain'>"),
        ("OUTSIDE", {}, r"weighting.method: cannot import 'outside.weightings:OUTSIDE'"),
        ("Silent", {}, r"its class attribute `needs` must be 'nothing' or 'losses'; found None"),
        ("Demanding", {}, r"its class attribute `needs` must be 'nothing' or 'losses'; found 'gramian'"),
        ("Unfinished", {}, r"weightings:Unfinished must be a subclass of .* with a `forward`; found <class"),
        ("Smoothed", {"kept": 0.5}, r"weighting.options: outside.weightings:Smoothed does not take \['kept'\]"),
        ("Smoothed", {"keep": 2}, r"weighting.options: .* does not take \['keep'\]: keep must be from 0 to 1; found 2"),
        ("Answer", {}, r"weighting.options: outside.weightings:Answer does not take \[\]: .*'answer'"),
    ],
)
def test_what_is_no_weighting_is_refused_before_it_is_called(shop, method, options, message):
    with pytest.raises(UserError, match=message):
        made(shop, f"outside.weightings:{method}", **options)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ([1.0], UserError, r"must give a tensor \(2,\), a weight for each of query, interest; found a tensor \(1,\)"),
        ([[1.0, 1.0]], UserError, r"must give a tensor \(2,\), .*; found a tensor \(1, 2\)"),
        (1.0, UserError, r"must give a tensor \(2,\), .*; found 1.0"),
        ([1.0, float("nan")], Diverged, r"must give finite weights; found query 1, interest nan, for the losses q"),
        ([float("inf"), 1.0], Diverged, r"must give finite weights; found query inf, interest 1, for the losses query"),
    ],
)
@pytest.mark.parametrize("parts", [1, 3])
def test_weights_that_are_not_one_number_a_task_end_the_training(shop, tmp_path, answer, error, message, parts):
    recipe = recipe_of(shop, "outside.weightings:Answer", {"answer": answer}, train={"accumulate": parts})
    with pytest.raises(UserError, match=f"^weighting.method: .*{message}") as found:
        train(recipe, tmp_path / "run")
    assert type(found.value) is error
    assert os.listdir(tmp_path) == []
