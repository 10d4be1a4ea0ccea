"""Weighting: the tasks' losses of a step -> their weights in the joint loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftrec.errors import UserError, nearest
from peftrec.recipe import Recipe, WeightingConfig
from peftrec.recipe.names import import_own

# Losses (T,) of the trained tasks, in recipe order -> weights (T,), detached. Made once a run from the static lambdas
# (T,) and options.
# One with state is an nn.Module: its parameters and buffers are part of every checkpoint. One that does not look at the
# losses says so with the attribute `constant`: then a step in parts needs no first pass for the losses of the whole.
Weighting = Callable[[Tensor], Tensor]


class Static:
    """Each task keeps its `weight` from the recipe."""

    constant = True

    def __init__(self, lambdas: Tensor) -> None:
        self._lambdas = lambdas

    def __call__(self, losses: Tensor) -> Tensor:
        """The weights (T,)."""
        return self._lambdas.to(losses.device)


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {"static": Static}


def make_weighting(config: WeightingConfig, recipe: Recipe) -> Weighting:
    """The recipe's weighting. Raises UserError for an unknown method or options it does not take."""
    own = ":" in config.method
    if not own and config.method not in WEIGHTINGS:
        raise UserError(f"weighting.method: no method {config.method!r}; {nearest(config.method, list(WEIGHTINGS))}")
    lambdas = torch.tensor([task.weight for task in recipe.trained.values()])
    options: dict[str, Any] = config.options
    make = import_own(config.method, "weighting.method") if own else WEIGHTINGS[config.method]
    try:
        weighting: Weighting = make(lambdas, **options)
        return weighting
    except TypeError as error:
        raise UserError(f"weighting.options: {config.method} does not take {sorted(options)}: {error}") from None
