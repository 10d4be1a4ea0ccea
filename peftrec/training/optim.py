"""The optimiser and its learning rates, from the recipe."""

import math

import torch
from torch import nn

from peftrec.recipe import TrainConfig


def make_optimizer(config: TrainConfig, trainable: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
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


def lr_factor(config: TrainConfig, step: int, total: int) -> float:
    """What base learning rates are multiplied by in `step` of `total`: linear warm-up, then the schedule."""
    warm = round(config.warmup * total)
    if step < warm:
        return (step + 1) / warm
    if config.schedule == "constant":
        return 1.0
    done = (step - warm) / max(1, total - warm)
    return 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Every group's learning rate is its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
