"""The optimiser and its learning rates, from the recipe."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from peftrec.training.defaults import Settled

COOLDOWN = 0.2  # of the steps before it, the learning rates fall to 0 in (Hägele et al. 2024, arXiv:2405.18392)


def make_optimizer(config: Settled, trainable: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, SGD with momentum or Adafactor over the named parameters of `CoLearner.trainable`.

    Adapters and heads have learning rates apart; weight decay spares norms, biases and gates.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        decay = config.weight_decay if _decays(name, parameter) else 0.0
        groups.setdefault((name.startswith("head/"), decay), []).append(parameter)
    rates = {False: config.lr, True: config.head_lr}
    listed = [
        {"params": ps, "lr": rates[head], "base_lr": rates[head], "weight_decay": decay}
        for (head, decay), ps in groups.items()
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(listed)
    if config.optimizer == "sgd":
        return torch.optim.SGD(listed, momentum=0.9)
    return torch.optim.Adafactor(listed)


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
