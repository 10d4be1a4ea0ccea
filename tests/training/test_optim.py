"""Learning rates over a training, and which parameters share one or are spared decay."""

import pytest
import torch
from torch import nn

from peftrec.recipe import TrainConfig
from peftrec.training.defaults import settle
from peftrec.training.optim import Cooldown, cooldown_steps, lr_factor, make_optimizer, set_learning_rates

NAMES = {"shared/lora_A": 2, "query/norm.weight": 2, "query/down.bias": 2, "query/gates": 2, "head/query/w": 2}
NAMES |= {"shared/scale": 1, "fusion/shared/table": 2}


def settings(**config):
    return settle(TrainConfig(**config), 100, ["lora"], watched=True)


def made(**config):
    trainable = {name: nn.Parameter(torch.ones([2] * dimensions)) for name, dimensions in NAMES.items()}
    return trainable, make_optimizer(settings(lr=1e-2, head_lr=1e-3, **config), trainable)


def test_heads_have_a_rate_of_their_own_and_norms_biases_and_gates_do_not_decay():
    trainable, optimizer = made(weight_decay=0.1)
    known = {id(parameter): name for name, parameter in trainable.items()}
    found = {known[id(p)]: (of["base_lr"], of["weight_decay"]) for of in optimizer.param_groups for p in of["params"]}
    assert found == {
        "shared/lora_A": (1e-2, 0.1),
        "query/norm.weight": (1e-2, 0.0),
        "query/down.bias": (1e-2, 0.0),
        "query/gates": (1e-2, 0.0),
        "shared/scale": (1e-2, 0.0),
        "head/query/w": (1e-3, 0.1),
        "fusion/shared/table": (1e-3, 0.1),
    }


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
    ours, theirs = (make_optimizer(config, {"fusion/shared/table": p}) for p in (table, alone))
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
