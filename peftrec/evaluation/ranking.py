"""Where each row's own item stands in its whole catalogue, by a model's scores and by priors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.errors import Diverged
from peftrec.evaluation.metrics import RANKING
from peftrec.model.co_learner import Scorer

RANKED_PAIRS = 1 << 22  # (row, item) pairs scored in one call: large, because each call may encode the catalogue again
Scores = Callable[[Examples], np.ndarray | None]  # rows -> scores (N, I) of the catalogue's items, if any


def last_liked(examples: Examples) -> Examples:
    """Each user's last example with label 1; unless repeats are allowed, the last whose item is none."""
    liked = np.flatnonzero(examples.label == 1 if examples.repeats else (examples.label == 1) & ~examples.repeated())
    liked = liked[np.lexsort((examples.time[liked], examples.users[liked]))]
    last = np.append(examples.users[liked][1:] != examples.users[liked][:-1], True)
    return examples.take(liked[last])


def rank_catalogue(
    scorer: Scorer, dataset: Dataset, task: str, targets: Examples, priors: Mapping[str, Scores] | None = None
) -> dict[str, np.ndarray]:
    """Where each row's own item stands in the whole catalogue, from the row's own history, features and time.

    Unless the task allows repeats, what the user had met before is no candidate: what `recommend` would not name. Nor
    are the other matches of a query.
    Returns {"model" and each prior: float64 (N, 2)}: the rank, from 1, ties counting half, and the log-probability that
    the softmax of the scores gives the item.
    """
    items = dataset.items_of(task).rows
    score = scorer.ranker(task, items, of_items=targets.of_items)
    predict: dict[str, Scores] = {"model": lambda rows: finite(score(rows), task), **(priors or {})}
    found: dict[str, list[np.ndarray]] = {name: [] for name in predict}
    for some in targets.blocks(max(1, RANKED_PAIRS // len(items))):
        met = None if some.repeats else some.met()
        for name, score_of in predict.items():
            scores = score_of(some)
            if scores is not None:  # a prior that does not apply has none
                found[name].append(_standing(scores, some.item, met))
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def apart(found: Mapping[str, np.ndarray], again: np.ndarray) -> dict[str, Any]:
    """Metrics of ranks of the model and its priors, of rows whose item the user had met before and of the others."""
    parts = {"repeats": np.flatnonzero(again), "new": np.flatnonzero(~again)}

    def values(name: str, rows: np.ndarray) -> dict[str, Any]:
        ranks = found[name][rows, 0]
        return {metric: number_or_none(of(ranks, np.ones(len(rows)), rows)) for metric, of in RANKING.items()}

    return {
        part: {
            "n": len(rows),
            "metrics": values("model", rows),
            "priors": {name: values(name, rows) for name in found if name != "model"},
        }
        for part, rows in parts.items()
        if len(rows)
    }


def _standing(scores: np.ndarray, item: np.ndarray, met: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
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


def finite(prediction: np.ndarray, task: str) -> np.ndarray:
    """The predictions as they are. Raises Diverged where any is no finite number."""
    wrong = int((~np.isfinite(prediction)).sum())
    if wrong:
        raise Diverged(
            f"task {task!r}: {wrong} of {prediction.size} predictions are not finite numbers: the training diverged; "
            "lower train.lr or train.head_lr, or set train.mixed_precision: no"
        )
    return prediction


def number_or_none(value: float) -> float | None:
    """A metric's value as JSON has it: null for NaN."""
    return None if np.isnan(value) else float(value)
