"""The optimiser and its learning rates, from the recipe."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.errors import UserErrors
from peftrec.recipe import OwnTrainConfig, Recipe
from peftrec.training.defaults import Settled
from peftrec.training.stopping import own_parts

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


def make_optimizer(
    config: Settled, trainable: Mapping[str, nn.Parameter], own: Mapping[str, OwnTrainConfig]
) -> torch.optim.Optimizer:
    """AdamW, SGD with momentum or Adafactor over the named parameters of `CoLearner.trainable`; those whose gradients
    are sparse are stepped on row by row, whichever it is.

    Adapters have a learning rate apart from heads and fusion; weight decay spares norms, biases and gates. `own`: what
    is another for the parts that are a task's own, by task.
    """
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        head, settings = name.startswith(("head/", "fusion/")), own_settings(config, own.get(name.split("/")[1]))
        decay = settings.weight_decay if _decays(name, parameter) else 0.0
        groups.setdefault((head, settings.head_lr if head else settings.lr, decay), []).append(parameter)
    listed = [
        {"params": ps, "lr": rate, "base_lr": rate, "weight_decay": decay} for (_, rate, decay), ps in groups.items()
    ]
    if config.optimizer == "adamw":
        return _AdamW(listed)
    if config.optimizer == "sgd":
        return _SGD(listed, momentum=0.9)
    return _Adafactor(listed)


def own_settings(config: Settled, own: OwnTrainConfig | None) -> Settled:
    """The settings of a task's own parts: those of the run, but for what the task has another of."""
    return config if own is None else config.model_copy(update=own.model_dump(exclude_none=True))


def check_own(recipe: Recipe, trainable: Mapping[str, nn.Parameter]) -> None:
    """Raise UserErrors where a task's own `train` says something of parts that it has not, or that are not trained."""
    problems = []
    for name, task in recipe.tasks.items():
        parts = {part.split("/")[0] for part in own_parts(name, trainable)}
        if task.train is not None and not parts:
            problems.append(f"tasks.{name}.train: nothing of the task is trained; leave it out")
        elif task.train is not None and task.train.lr is not None and "adapter" not in parts:
            adapter = recipe.adapters[name]
            problems.append(
                f"tasks.{name}.train.lr: the task has no part of the adapter for itself (method {adapter.method}, "
                f"sharing {adapter.sharing}); leave it out, or set adapter.sharing: shared+private"
            )
    if problems:
        raise UserErrors(problems)


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
