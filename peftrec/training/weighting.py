"""Weighting: the tasks' losses of a step -> their weights in the joint loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from peftrec.errors import Diverged, UserError
from peftrec.machine import processes
from peftrec.recipe import Recipe, WeightingConfig
from peftrec.recipe.names import find_class

Needs = Literal["nothing", "losses"]


class Weighting(nn.Module, ABC):
    """How much each task counts in a step's joint loss. One object serves a whole training.

    needs    what the weights depend on beside the weighting's own state: "nothing" spares a step in parts the first
             pass that finds the losses of the whole
    lambdas  the tasks' `weight` in the recipe, (T,) in the order of the trained tasks

    Parameters and buffers are its state: part of every checkpoint, unless made with `persistent=False`. The weights
    must follow from state and losses alone: each process of a training asks its own. The recipe's `weighting.options`
    are the constructor's further arguments; it refuses their values by a ValueError.
    """

    needs: ClassVar[Needs]
    lambdas: Tensor

    def __init__(self, lambdas: Tensor) -> None:
        super().__init__()
        self.register_buffer("lambdas", lambdas, persistent=False)  # the recipe's, not a state

    @abstractmethod
    def forward(self, losses: Tensor) -> Tensor:
        """The losses (T,) of a step, 0 for a task without rows in it -> the weights (T,); called once a step."""


class Static(Weighting):
    """Each task keeps its `weight` from the recipe."""

    needs = "nothing"

    def forward(self, losses: Tensor) -> Tensor:
        """The weights (T,)."""
        return self.lambdas


WEIGHTINGS: dict[str, type[Weighting]] = {"static": Static}


def make_weighting(config: WeightingConfig, recipe: Recipe) -> Weighting:
    """The recipe's weighting. Raises UserError for an unknown method or options it does not take."""
    kind = _find_weighting(config.method)
    lambdas = torch.tensor([task.weight for task in recipe.trained.values()])
    try:
        return kind(lambdas, **config.options)
    except (TypeError, ValueError) as error:
        options = sorted(config.options)
        raise UserError(f"weighting.options: {config.method} does not take {options}: {error}") from None


def _find_weighting(method: str) -> type[Weighting]:
    kind = find_class(WEIGHTINGS, method, "weighting.method", Weighting)
    if (needs := getattr(kind, "needs", None)) not in get_args(Needs):
        known = " or ".join(map(repr, get_args(Needs)))
        raise UserError(f"weighting.method: {method}: its class attribute `needs` must be {known}; found {needs!r}")
    return kind


@torch.no_grad()
def weigh(weighting: Weighting, tasks: list[str], losses: Tensor) -> Tensor:
    """The weights (T,) that a step's finite losses (T,) get. Raises UserError where they are not one number a task.

    Of weights that are not finite that is Diverged: no later step would mend them.
    """
    weights = weighting(losses)
    rule = f"weighting.method: {type(weighting).__name__} must give"
    with processes.alike():
        if not isinstance(weights, Tensor) or weights.shape != losses.shape:
            found = f"a tensor {tuple(weights.shape)}" if isinstance(weights, Tensor) else repr(weights)
            raise UserError(f"{rule} a tensor ({len(tasks)},), a weight for each of {', '.join(tasks)}; found {found}")
        if not torch.isfinite(weights).all():
            found = _by_task(tasks, weights)
            raise Diverged(f"{rule} finite weights; found {found}, for the losses {_by_task(tasks, losses)}")
    return weights


def _by_task(tasks: list[str], values: Tensor) -> str:
    return ", ".join(f"{task} {value:.6g}" for task, value in zip(tasks, values.tolist(), strict=True))
