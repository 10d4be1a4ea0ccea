"""Losses: all that anything needs to know of one, in one object. `LOSSES` is where to add one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from peftrec.data.scales import PULL, released, to_log

Labels = Literal["class", "tags", "liked", "number", "choice"]


def _as_they_are(label: np.ndarray) -> tuple[float, float]:
    return 0.0, 1.0


@dataclass(frozen=True)
class Loss:
    """One loss of N rows.

    labels   what its labels are: `class` (numbers from 0), `tags` (1 or 0 for each class, (N, C)), `liked` (1 or 0),
             `number`, or `choice`: the row's own item against the others of its catalogue, so that no label is read
    value    (raw output, label) -> each row's loss (N,). Outputs: (N, C) for classes and tags; (N, 1 + C) for a
             choice, the row's own item before the candidates; (N,) otherwise
    predict  raw output -> prediction: class probabilities (N, C), a probability (N,), the number itself (N,), or the
             own item's score (N,)
    metric   the metric that stands for it: on the same rows, raised to `power`, it equals the mean of the rows' losses,
             also where rows have weights; of a loss `on_log` it is in units of the labels, and its scale is that of
             the raw output; of one `on_levels` it is that of the numbers drawn near them
    free     predictions (N,) as they are judged by few rows: of one `on_levels` before they were drawn near them
    start    labels float64 (N,) -> (shift, scale) of the raw output at which a head that has learnt nothing begins; of
             tags (N, C) the shift is (C,)
    """

    labels: Labels
    value: Callable[[Tensor, Tensor], Tensor]
    predict: Callable[[Tensor], Tensor]
    metric: str
    power: int = 1
    start: Callable[[np.ndarray], tuple[Any, float]] = _as_they_are
    free: Callable[[np.ndarray], np.ndarray] = np.asarray

    @property
    def of_likes(self) -> bool:
        """Whether the labels say who liked what, so that past events count as liked or not."""
        return self.labels in ("liked", "choice")


def _cross_entropy(output: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(output, label.long(), reduction="none")


def _probabilities(output: Tensor) -> Tensor:
    return output.softmax(-1)


def _softmax(output: Tensor, label: Tensor) -> Tensor:
    return output.logsumexp(-1) - output[:, 0]


def _binary(output: Tensor, label: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, label, reduction="none")


def _mean_binary(output: Tensor, label: Tensor) -> Tensor:
    return _binary(output, label).mean(-1)


def _squared(output: Tensor, label: Tensor) -> Tensor:
    return F.mse_loss(output, label, reduction="none")


def _absolute(output: Tensor, label: Tensor) -> Tensor:
    return F.l1_loss(output, label, reduction="none")


def _own_score(output: Tensor) -> Tensor:
    return output[:, 0]


def _log_odds(label: np.ndarray) -> tuple[Any, float]:
    rate = np.clip(label.mean(0), 1e-3, 1 - 1e-3)
    return np.log(rate / (1 - rate)), 1.0


def _mean_and_spread(label: np.ndarray) -> tuple[float, float]:
    return float(label.mean()), float(label.std() + 1e-6)


def _median_and_spread(label: np.ndarray) -> tuple[float, float]:
    return float(np.median(label)), float(label.std() + 1e-6)


def _unchanged(output: Tensor) -> Tensor:
    return output


def on_log(loss: Loss) -> Loss:
    """The loss of numbers whose raw output is `scales.to_log` of them. Of what is least in the mean of absolute errors
    on one scale, the median, the same is so on the other."""

    def back(output: Tensor) -> Tensor:
        return output.sign() * output.abs().expm1()

    def value(output: Tensor, label: Tensor) -> Tensor:
        return loss.value(output, label.sign() * label.abs().log1p())

    return replace(loss, value=value, predict=back, start=lambda label: loss.start(to_log(label)))


def on_levels(loss: Loss, levels: tuple[float, ...]) -> Loss:
    """The loss of numbers whose labels are all of two or more levels, ascending: what is predicted is drawn near the
    nearest of them (`scales.pulled`), what is learnt is not."""

    def predict(output: Tensor) -> Tensor:
        found = loss.predict(output)
        given = torch.tensor(levels, dtype=found.dtype, device=found.device)
        near = given[torch.bucketize(found, (given[1:] + given[:-1]) / 2)]
        return near + (1 - PULL) * (found - near)

    return replace(loss, predict=predict, free=partial(released, levels=levels))


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss("class", _cross_entropy, _probabilities, "log_loss"),
    "softmax": Loss("choice", _softmax, _own_score, "log_loss"),
    "bce": Loss("liked", _binary, torch.sigmoid, "log_loss", start=_log_odds),
    "mse": Loss("number", _squared, _unchanged, "rmse", power=2, start=_mean_and_spread),
    "mae": Loss("number", _absolute, _unchanged, "mae", start=_median_and_spread),
}

# Of rows with several labels each, which a recipe's `separator` tells from those with one.
TAG_LOSSES: dict[str, Loss] = {
    "bce": Loss("tags", _mean_binary, torch.sigmoid, "log_loss", start=_log_odds),
}
