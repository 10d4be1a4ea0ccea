"""Learning rates over a training, and which parameters share one or are spared decay."""

import json

import pytest
import torch
from minimal import MINIMAL
from tiny import LORA, make_tiny_shop, tiny_recipe
from torch import nn

from peftrec.errors import UserError
from peftrec.recipe import OwnTrainConfig, TrainConfig, make_recipe
from peftrec.training.defaults import settle
from peftrec.training.loop import train
from peftrec.training.optim import (
    Cooldown,
    check_own,
    cooldown_steps,
    lr_factor,
    make_optimizer,
    set_learning_rates,
)
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin
from peftrec.training.step import one_step, plan_steps

NAMES = {"adapter/shared/lora_A": 2, "adapter/query/norm.weight": 2, "adapter/query/down.bias": 2}
NAMES |= {"adapter/query/gates": 2, "adapter/query/lora_A": 2, "head/query/w": 2, "head/interest/w": 2}
NAMES |= {"adapter/shared/scale": 1, "fusion/shared/table": 2, "fusion/query/table": 2}


def settings(**config):
    return settle(TrainConfig(**config), 100, ["lora"], watched=True)


def made(own=None, **config):
    trainable = {name: nn.Parameter(torch.ones([2] * dimensions)) for name, dimensions in NAMES.items()}
    return trainable, make_optimizer(settings(lr=1e-2, head_lr=1e-3, **config), trainable, own or {})


def groups_of(trainable, optimizer):
    """Parameter -> its base rate and decay."""
    known = {id(parameter): name for name, parameter in trainable.items()}
    return {known[id(p)]: (of["base_lr"], of["weight_decay"]) for of in optimizer.param_groups for p in of["params"]}


def test_heads_have_a_rate_of_their_own_and_norms_biases_and_gates_do_not_decay():
    assert groups_of(*made(weight_decay=0.1)) == {
        "adapter/shared/lora_A": (1e-2, 0.1),
        "adapter/query/norm.weight": (1e-2, 0.0),
        "adapter/query/down.bias": (1e-2, 0.0),
        "adapter/query/gates": (1e-2, 0.0),
        "adapter/query/lora_A": (1e-2, 0.1),
        "adapter/shared/scale": (1e-2, 0.0),
        "head/query/w": (1e-3, 0.1),
        "head/interest/w": (1e-3, 0.1),
        "fusion/shared/table": (1e-3, 0.1),
        "fusion/query/table": (1e-3, 0.1),
    }


def test_a_task_s_own_parts_may_have_other_rates_and_decay_and_what_is_shared_has_not():
    before, found = (groups_of(*made(own, weight_decay=0.1)) for own in ({}, {"query": OwnTrainConfig(lr=1e-4)}))
    own = {name for name in NAMES if name.startswith("adapter/query/")}
    assert found == {name: (1e-4 if name in own else rate, decay) for name, (rate, decay) in before.items()}
    found = groups_of(*made({"query": OwnTrainConfig(head_lr=1e-5, weight_decay=0)}, weight_decay=0.1))
    assert {name: of for name, of in found.items() if of != before[name]} == {
        "adapter/query/lora_A": (1e-2, 0.0),
        "head/query/w": (1e-5, 0.0),
        "fusion/query/table": (1e-5, 0.0),
    }


@pytest.mark.usefixtures("quick")
def test_a_task_steps_as_far_as_its_own_rate_says(tmp_path):
    """AdamW's first step goes as far as the rate in every parameter that has a gradient."""
    shop, moved = make_tiny_shop(tmp_path), {}
    base = {"epochs": 1, "lr": 1e-3, "head_lr": 1e-3, "weight_decay": 0, "warmup": 0, "log_every": 1, "max_steps": 1}
    for own in ({}, {"train": {"lr": 1e-2, "head_lr": 1e-5}}):
        tasks = {
            "query": {"kind": "match-query", **own},
            "interest": {"kind": "interest", "column": "stars", "threshold": 4},
        }
        recipe = tiny_recipe(shop, adapter=LORA, tasks=tasks, train=base)
        setup = prepare(recipe)
        begin(setup)
        steps = plan_steps(setup)
        with torch.no_grad():  # away from zero, where nothing has a gradient
            for parameter in steps.trainable.values():
                parameter.add_(0.1)
        first = {name: p.detach().clone() for name, p in steps.trainable.items()}
        one_step(steps, 0)
        moved[bool(own)] = {name: float((p.detach() - first[name]).abs().max()) for name, p in steps.trainable.items()}
    times = {name: moved[True][name] / of for name, of in moved[False].items() if of}
    expected = {"adapter/query": 10, "head/query": 0.01}
    for name, of in times.items():
        assert of == pytest.approx(expected.get("/".join(name.split("/")[:2]), 1), rel=0.02), name
    assert {"adapter/query", "head/query", "adapter/shared", "head/interest"} <= {
        "/".join(name.split("/")[:2]) for name in times
    }
    lines = train(recipe, tmp_path / "run") / "metrics.jsonl"
    rates = json.loads(lines.read_text().splitlines()[0])["learning_rate"]
    assert rates == {"adapter": 1e-3, "head": 1e-3, "adapter/query": 1e-2, "head/query": 1e-5}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"method": "side", "sharing": "shared"}, r"tasks.query.train.lr: the task has no part of .*side, sharing sha"),
        ({"method": "head_only"}, r"tasks.query.train.lr: the task has no part of the adapter for itself .*head_only"),
    ],
)
def test_a_rate_of_what_is_not_there_is_refused(tmp_path, adapter, message):
    tasks = {"query": {"kind": "match-query", "train": {"lr": 1e-3}}}
    with pytest.raises(UserError, match=message):
        prepare(tiny_recipe(make_tiny_shop(tmp_path), adapter=adapter, tasks=tasks))


def test_of_a_frozen_task_nothing_is_trained():
    recipe = make_recipe(
        {
            **MINIMAL,
            "init_from": "run",
            "tasks": {
                "a": {"kind": "interest", "frozen": True, "train": {"weight_decay": 0}},
                "b": {"kind": "interest", "train": {"weight_decay": 0}},
            },
        }
    )
    with pytest.raises(UserError, match=r"^tasks.a.train: nothing of the task is trained; leave it out$"):
        check_own(recipe, {"head/b/w": nn.Parameter(torch.ones(2))})


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD), ("adafactor", torch.optim.Adafactor)]
)
def test_the_recipe_names_the_optimiser(name, kind):
    assert isinstance(made(optimizer=name)[1], kind)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
    ],
)
def test_rates_warm_up_and_follow_the_schedule(schedule, expected):
    config = settings(schedule=schedule, warmup=0.33)
    assert [lr_factor(config, step, 6) for step in range(6)] == pytest.approx(expected)


def test_the_schedule_cooldown_falls_in_its_last_fifth():
    assert [cooldown_steps(steps) for steps in (0, 1, 3, 10, 100)] == [1, 1, 1, 2, 20]
    config = settings(schedule="cooldown", warmup=0.1)
    assert [lr_factor(config, step, 20) for step in range(20)] == pytest.approx([0.5, *[1] * 15, 1, 0.75, 0.5, 0.25])


def test_a_cooldown_falls_from_the_rate_of_the_best_step_to_0():
    config = settings(schedule="linear", warmup=0)
    found = [lr_factor(config, step, 20, Cooldown(14, 4, best=11)) for step in range(14, 18)]
    assert found == pytest.approx([0.5, 0.375, 0.25, 0.125])  # 1 - 10 / 20, then a straight line
    assert Cooldown(14, 4, best=11).end == 18
    start = settings(schedule="linear", warmup=0.5)  # whose rate is only rising
    assert lr_factor(start, 4, 20, Cooldown(4, 4, best=0)) == lr_factor(start, 10, 20) == 1


def test_every_groups_rate_follows_its_base():
    _, optimizer = made()
    set_learning_rates(optimizer, 0.5)
    set_learning_rates(optimizer, 0.25)  # of the base, not of what it was
    assert {group["lr"] for group in optimizer.param_groups} == {0.25e-2, 0.25e-3}


def test_rows_with_sparse_gradients_go_as_adamw_goes_and_the_others_stay():
    """Beside a table of those rows alone, over steps in which each of them has a gradient."""
    torch.manual_seed(0)
    table = nn.Parameter(torch.randn(9, 3))
    alone = nn.Parameter(table.detach()[[7, 2]].clone())
    before, config = table.detach().clone(), settings(lr=1e-2, head_lr=1e-2, weight_decay=0.1)
    ours, theirs = (make_optimizer(config, {"fusion/shared/table": p}, {}) for p in (table, alone))
    for _ in range(4):
        gradient = torch.randn(2, 3)
        halves = gradient[[0, 1, 1]] * torch.tensor([[1], [0.5], [0.5]])  # one of them came in two pieces
        halves = torch.sparse_coo_tensor(torch.tensor([[7, 2, 2]]), halves, (9, 3), check_invariants=True)
        table.grad, alone.grad = halves, gradient
        ours.step()
        theirs.step()
        ours.zero_grad()
    torch.testing.assert_close(table.detach()[[7, 2]], alone.detach())
    others = [0, 1, 3, 4, 5, 6, 8]
    assert torch.equal(table[others], before[others])
    assert ours.state_dict()["state"][0]["first"].shape == (9, 3)
