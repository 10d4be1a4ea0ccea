"""The optimiser and its learning rates, from the recipe."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.training.defaults import Settled

BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam on rows, as AdamW's own
COOLDOWN = 0.2  # of the steps before it, the learning rates fall to 0 in (Hägele et al. 2024, arXiv:2405.18392)


class _Rows(torch.optim.Optimizer):
    """An optimiser that steps on parameters with sparse gradients row by row, with Adam: rows without a gradient cost
    nothing, and stay as they are, their moments too. What it is a base of steps on the others."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    _step_on_rows(parameter, parameter.grad.coalesce(), self.state[parameter], group)
                    parameter.grad = None
        return super().step(closure)


def _step_on_rows(parameter: nn.Parameter, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    if not state:
        state |= {"step": torch.tensor(0.0), "first": torch.zeros_like(parameter)}
        state["second"] = torch.zeros_like(parameter)
    some = gradient.values().any(1)  # a row of zeros has no gradient: processes that add theirs up do not know of it
    rows, values = gradient.indices()[0][some], gradient.values()[some]
    state["step"] += 1
    times = state["step"].item()
    first = state["first"][rows].lerp_(values, 1 - BETAS[0])
    second = state["second"][rows].lerp_(values.square(), 1 - BETAS[1])
    state["first"][rows], state["second"][rows] = first, second
    size = (second / (1 - BETAS[1] ** times)).sqrt_().add_(EPS)
    kept = parameter[rows] * (1 - group["lr"] * group["weight_decay"])
    parameter[rows] = kept - group["lr"] / (1 - BETAS[0] ** times) * first / size


class _AdamW(_Rows, torch.optim.AdamW):
    pass


class _SGD(_Rows, torch.optim.SGD):
    pass


class _Adafactor(_Rows, torch.optim.Adafactor):
    pass


def make_optimizer(config: Settled, trainable: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, SGD with momentum or Adafactor over the named parameters of `CoLearner.trainable`; those whose gradients
    are sparse are stepped on row by row, whichever it is.

    Adapters have a learning rate apart from heads and fusion; weight decay spares norms, biases and gates.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        decay = config.weight_decay if _decays(name, parameter) else 0.0
        groups.setdefault((name.startswith(("head/", "fusion/")), decay), []).append(parameter)
    rates = {False: config.lr, True: config.head_lr}
    listed = [
        {"params": ps, "lr": rates[head], "base_lr": rates[head], "weight_decay": decay}
        for (head, decay), ps in groups.items()
    ]
    if config.optimizer == "adamw":
        return _AdamW(listed)
    if config.optimizer == "sgd":
        return _SGD(listed, momentum=0.9)
    return _Adafactor(listed)


def _decays(name: str, parameter: nn.Parameter) -> bool:
    last = name.rsplit("/", 1)[-1]
    return parameter.ndim > 1 and not last.endswith(("bias", "gates", "feedback")) and "norm" not in last.lower()


@dataclass(frozen=True)
class Cooldown:
    """The last stretch of a training: from step `first` on, back at the weights of step `best`, the learning rates fall
    from what they were there to 0, over `steps`."""

    first: int
    steps: int
    best: int

    @property
    def end(self) -> int:
        """How many steps there are in all when it is over."""
        return self.first + self.steps


def cooldown_steps(steps: int) -> int:
    """How long the last stretch is of a training of so many steps."""
    return max(1, round(COOLDOWN * steps))


def lr_factor(config: Settled, step: int, total: int, cooldown: Cooldown | None = None) -> float:
    """What base learning rates are multiplied by in `step` of `total`: linear warm-up, then the schedule, and in the
    cool-down, when it has begun, a straight line to 0."""
    if cooldown is not None:
        like = max(cooldown.best - 1, round(config.warmup * total))
        return lr_factor(config, like, total) * (cooldown.end - step) / cooldown.steps
    warm = round(config.warmup * total)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    if config.schedule == "linear":
        return 1 - done
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return min(1.0, (total - step) / cooldown_steps(total)) if config.schedule == "cooldown" else 1.0


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Every group's learning rate is its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
