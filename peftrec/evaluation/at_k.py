"""Metrics of the first k places of lists, for any k: of each list's own value, the mean over lists.

A row is a right item of a list: its place there, from 1, stands where predictions do, and its list where groups do;
labels are not read. Right items that tie with others are spread evenly over the places that they share (see `spread`).
A list weighs as much as its average row. Of lists with one right item each, recall is the hit rate and MAP is MRR.
"""

import re
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from peftrec.evaluation.metric import Metric, Statistic, mean_of, ratio

_NAME = re.compile(r"(\w+)@([1-9]\d{0,5})")


class Right:
    """The right items of lists.

    place   float64 (N,): from 1
    of      int (N,): the list, from 0
    counts  int (G,): how many right items each list has
    """

    def __init__(self, place: np.ndarray, group: np.ndarray) -> None:
        self.place = place
        _, self.of, self.counts = np.unique(group, return_inverse=True, return_counts=True)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """The sum of values (N,) over each list (G,)."""
        return np.bincount(self.of, rows, len(self.counts))

    @cached_property
    def nth(self) -> np.ndarray:
        """Which of its list's right items each is by place, from 1 (N,)."""
        order = np.lexsort((self.place, self.of))
        found = np.empty(len(order))
        found[order] = np.arange(len(order)) - (np.cumsum(self.counts) - self.counts)[self.of[order]] + 1
        return found


def hit_rate(right: Right, k: int) -> np.ndarray:
    """Whether a right item is among the first k."""
    return np.asarray(right.sums(right.place <= k) > 0, np.float64)


def recall(right: Right, k: int) -> np.ndarray:
    """The share of the right items that is among the first k."""
    return right.sums(right.place <= k) / right.counts


def precision(right: Right, k: int) -> np.ndarray:
    """The share of the first k that is right."""
    return right.sums(right.place <= k) / k


def average_precision(right: Right, k: int) -> np.ndarray:
    """Of the right items among the first k the precision down to each, summed; over how many there could be."""
    return right.sums((right.place <= k) * right.nth / right.place) / np.minimum(right.counts, k)


def reciprocal_rank(right: Right, k: int) -> np.ndarray:
    """1 / place of the first right item, 0 beyond k."""
    first = right.nth == 1
    return right.sums(first * (right.place <= k) / right.place)


def ndcg(right: Right, k: int) -> np.ndarray:
    """1 / log2(1 + place) of the right items among the first k, summed; over the sum of the best order."""
    most = np.minimum(right.counts, k)
    best = np.cumsum(1 / np.log2(1 + np.arange(1, 1 + most.max())))
    return right.sums((right.place <= k) / np.log2(1 + right.place)) / best[most - 1]


AT_K: dict[str, Callable[[Right, int], np.ndarray]] = {
    "hr": hit_rate,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
}


def spread(better: Any, tied: Any, right: Any, nth: Any) -> Any:
    """The place of the nth of `right` items that tie with each other and all in all `tied` items, behind `better`.

    Evenly spread over the places that the tied share, so that one right item stands in their middle.
    """
    return better + (nth - 0.5) * tied / right + 0.5


def split_name(name: str) -> tuple[str, int | None]:
    """A metric's name without its `@k`, and k; None where it has none."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)


def of_places(name: str) -> Metric | None:
    """The metric of right items' places that is called so, such as recall@20; None where none is."""
    base, k = split_name(name)
    if k is None or base not in AT_K:
        return None
    return Metric(partial(_mean_at_k, value=AT_K[base], k=k), higher=True, grouped=True)


def _mean_at_k(place: np.ndarray, label: np.ndarray, group: np.ndarray, value: Any, k: int) -> Statistic:
    right = Right(place, group)
    return mean_of_lists(value(right, k)[right.of], label, group)


def mean_of_lists(values: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """The mean over lists of a value that is each list's own, and stands in all of its rows (N,)."""
    _, of, counts = np.unique(group, return_inverse=True, return_counts=True)
    share = (1 / counts)[of]
    total = values * share
    return lambda weight: ratio(weight @ total, weight @ share)


def choice_loss(log_probability: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean over right items of -log(probability among the whole catalogue), in nats."""
    return mean_of(-log_probability)


# Of the log-probability of each right item in the full catalogue, given in the place of the prediction.
CHOICE = {"log_loss": Metric(choice_loss, higher=False)}
