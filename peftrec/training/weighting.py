"""Weighting: the tasks' losses of a step -> their weights in the joint loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.errors import Diverged, UserError
from peftrec.machine import processes
from peftrec.recipe import Recipe, WeightingConfig
from peftrec.recipe.names import find_class

# Added to the Gramian's diagonal, of a trace of 1: the gradient of a task that hardly asks anything turns nothing.
REGULAR = 1e-4

Needs = Literal["nothing", "losses", "gramian"]


class Weighting(nn.Module, ABC):
    """How much each task counts in a step's joint loss. One object serves a whole training.

    needs    what the weights depend on beside the weighting's own state, and `forward` is given: the step's "losses"
             (T,), or the "gramian" (T, T) of the losses' gradients at the vectors of the step's texts, where a task
             that reads texts of its own alone conflicts with none. "nothing" spares a step in parts the first pass
             that finds it of the whole; for a Gramian each step goes through the heads backwards twice
    lambdas  the tasks' `weight` in the recipe, (T,) in the order of the trained tasks

    Parameters and buffers are its state: part of every checkpoint, unless made with `persistent=False`. The weights
    must follow from state and what is given alone: each process of a training asks its own. The recipe's
    `weighting.options` are the constructor's further arguments; it refuses their values by a ValueError.
    """

    needs: ClassVar[Needs]
    lambdas: Tensor

    def __init__(self, lambdas: Tensor) -> None:
        super().__init__()
        self.register_buffer("lambdas", lambdas, persistent=False)  # the recipe's, not a state

    @abstractmethod
    def forward(self, given: Tensor) -> Tensor:
        """What it needs of a step, 0 for a task without rows in it (losses, if it needs nothing) -> the weights (T,);
        called once a step."""


class Static(Weighting):
    """Each task keeps its `weight` from the recipe."""

    needs = "nothing"

    def forward(self, given: Tensor) -> Tensor:
        """The weights (T,)."""
        return self.lambdas


class UPGrad(Weighting):
    """Each task's gradient, times its `weight`, is turned as little as needed until it harms no task, and the sum of
    these is what the text vectors get (UPGrad: Quinton and Rey 2024, arXiv:2406.16232).

    Where no two tasks conflict nothing changes; else a task's weight grows by as much of its gradient as turns the
    others'. No weight is below the recipe's.
    """

    needs = "gramian"

    def forward(self, given: Tensor) -> Tensor:
        """The Gramian (T, T) -> the weights (T,)."""
        lambdas = self.lambdas.double().numpy()
        gramian = lambdas[:, None] * given.double().numpy() * lambdas
        return self.lambdas * torch.from_numpy(_upgrad(gramian)).to(self.lambdas)


def _upgrad(gramian: np.ndarray) -> np.ndarray:
    """sum_i argmin_{v >= e_i} v' G v, float64 (T,): by duality, the projection of gradient i onto the directions in
    which no task's loss grows is the combination v of all gradients."""
    from scipy.optimize import nnls

    count, size = len(gramian), np.trace(gramian)
    if not np.isfinite(gramian).all():
        return np.full(count, np.nan)
    if not size:
        return np.ones(count)
    values, vectors = np.linalg.eigh(gramian / size + REGULAR * np.eye(count))
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T  # root' root = G
    weights: np.ndarray = np.sum([np.eye(count)[i] + nnls(root, -root[:, i])[0] for i in range(count)], 0)
    return weights


WEIGHTINGS: dict[str, type[Weighting]] = {"static": Static, "upgrad": UPGrad}


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
def weigh(weighting: Weighting, tasks: list[str], given: Tensor) -> Tensor:
    """The weights (T,) that a step's finite losses (T,) get, or what else it needs of them. Raises UserError where they
    are not one number a task.

    Of weights that are not finite that is Diverged: no later step would mend them.
    """
    weights = weighting(given)
    rule = f"weighting.method: {type(weighting).__name__} must give"
    with processes.alike():
        if not isinstance(weights, Tensor) or weights.shape != (len(tasks),):
            found = f"a tensor {tuple(weights.shape)}" if isinstance(weights, Tensor) else repr(weights)
            raise UserError(f"{rule} a tensor ({len(tasks)},), a weight for each of {', '.join(tasks)}; found {found}")
        if not torch.isfinite(weights).all():
            found = _by_task(tasks, weights)
            what = "losses" if given.ndim == 1 else "gradients of squared norm"
            own = _by_task(tasks, given if given.ndim == 1 else given.diagonal())
            raise Diverged(f"{rule} finite weights; found {found}, for the {what} {own}")
    return weights


def _by_task(tasks: list[str], values: Tensor) -> str:
    return ", ".join(f"{task} {value:.6g}" for task, value in zip(tasks, values.tolist(), strict=True))
