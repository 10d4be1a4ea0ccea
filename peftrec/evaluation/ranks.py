"""Where one item stands in a whole catalogue, and the ranks of repeats and of new items apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from peftrec.evaluation.metrics import RANKING


def apart(found: Mapping[str, np.ndarray], again: np.ndarray) -> dict[str, Any]:
    """Metrics of ranks of the model and its priors, of rows whose item the user had met before and of the others."""
    parts = {"repeats": np.flatnonzero(again), "new": np.flatnonzero(~again)}

    def values(name: str, rows: np.ndarray) -> dict[str, Any]:
        ranks = found[name][rows, 0]
        return {metric: float(of(ranks, np.ones(len(rows)), rows)) for metric, of in RANKING.items()}

    return {
        part: {
            "n": len(rows),
            "metrics": values("model", rows),
            "priors": {name: values(name, rows) for name in found if name != "model"},
        }
        for part, rows in parts.items()
        if len(rows)
    }


def standing(scores: np.ndarray, item: np.ndarray, met: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Mid-rank and log-probability (N, 2) of each row's item, by scores (N, I), among those that are not `met`."""
    scores = np.array(scores)
    own = scores[np.arange(len(scores)), item]
    if met is not None:
        scores[met] = -np.inf
    return np.array([_place(line, of) for line, of in zip(scores, own, strict=True)])


def _place(scores: np.ndarray, own: np.floating) -> tuple[float, float]:
    """Mid-rank of one of the scores (I,) among them, and the log-probability that their softmax gives it.

    A row at a time: what a million items need then stays in the processor's cache.
    """
    better, tied = np.count_nonzero(scores > own), np.count_nonzero(scores == own)
    top = scores.max()
    total = np.exp(scores - top).sum(dtype=np.float64)
    return 1 + better + (tied - 1) / 2, float(own) - float(top) - float(np.log(total))
