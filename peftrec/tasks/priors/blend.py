"""Scores of a catalogue that are known beforehand, weighed so that their softmax names the row's own item."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from peftrec.data.examples import Examples

ITEMS = 4096  # of a larger catalogue a sample is told apart
PAIRS = 1 << 22  # of rows and items; of more rows every so many


@dataclass(frozen=True)
class Told:
    """Rows of matches with what their own items are told apart from, as a training step has them.

    rows    with candidates
    barred  bool (N, 1 + C): which of a row's own item and the candidates do not take part
    shift   float32 (N, 1): log of how many items of the catalogue each candidate stands for
    """

    rows: Examples
    barred: np.ndarray
    shift: np.ndarray


def told_apart(rows: Examples) -> Told:
    """The rows, or every so many, and the catalogue or a sample of it, the same every time."""
    assert rows.catalogue is not None
    size = len(rows.catalogue)
    items = np.arange(size) if size <= ITEMS else np.sort(np.random.default_rng(0).choice(size, ITEMS, replace=False))
    rows = replace(rows.thinned(PAIRS // len(items)), candidates=items)
    barred = rows.barred()
    assert barred is not None
    taking_part = np.maximum((~barred).sum(1), 1)
    others = np.maximum(size - barred.sum(1) * (size / len(items)), 1)
    shift = np.log(np.maximum(others / taking_part, 1))[:, None].astype(np.float32)
    return Told(rows, np.concatenate([np.zeros((len(barred), 1), bool), barred], 1), shift)


def fit_weights(columns: Sequence[np.ndarray], told: Told) -> np.ndarray:
    """The weights float64 (S,), none below 0, of scores (N, 1 + C) each, at which `loss_of` is least: it is convex."""
    from scipy.optimize import minimize

    scale = np.array([max(float(column.std()), 1e-9) for column in columns])
    scaled = [column / of for column, of in zip(columns, scale, strict=True)]

    def value(weights: np.ndarray) -> tuple[float, np.ndarray]:
        chances, each = _chances(weights, scaled, told)
        slope = [float(((chances * of).sum(1) - of[:, 0]).mean()) for of in scaled]
        return float(each.mean()), np.array(slope)

    found = minimize(value, np.ones(len(scaled)), jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(scaled))
    weights: np.ndarray = found.x / scale
    return weights


def loss_of(weights: np.ndarray, columns: Sequence[np.ndarray], told: Told) -> float:
    """The mean of -log(softmax of the weighed scores for the row's own item among all items), in nats."""
    return float(_chances(weights, columns, told)[1].mean())


def _chances(weights: np.ndarray, columns: Sequence[np.ndarray], told: Told) -> tuple[np.ndarray, np.ndarray]:
    """The softmax (N, 1 + C), and -log of its first column (N,)."""
    score = np.zeros(told.barred.shape, np.float32)
    for weight, column in zip(weights, columns, strict=True):
        score += np.float32(weight) * column
    score[:, 1:] += told.shift
    score[told.barred] = -np.inf
    top = score.max(1, keepdims=True)
    chances = np.exp(score - top)
    total = chances.sum(1, keepdims=True)
    each: np.ndarray = (np.log(total) + top)[:, 0] - score[:, 0]
    return chances / total, each
