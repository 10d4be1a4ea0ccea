"""Metrics of lists that were shown, as the MIND benchmark reports them (Wu et al. 2020): a list's own value, then the
mean over lists. Those all clicked, or not at all, have none: whatever orders them, nothing is gained.

Predictions, float (N,) or (N, 2), order the rows of a list, which is their group; labels are 1 where clicked, else 0.
Items that tie share the mean of their places, or where that says nothing are spread over them. A list weighs as much
as its average row.
"""

from collections.abc import Callable

import numpy as np

from peftrec.evaluation.at_k import AT_K, Right, spread
from peftrec.evaluation.metric import Statistic, ratio


def auc(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean over lists of the share of pairs, one clicked and one not, in right order, ties counting half."""

    def value(lists: "_Lists") -> np.ndarray:
        clicked, others = lists.clicked, lists.size - lists.clicked
        places = lists.sums(lists.shared(lists.place) * label)
        return 1 - (places - clicked * (clicked + 1) / 2) / np.maximum(clicked * others, 1)

    return _mean(_Lists(prediction, label, group), value)


def mrr(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean over lists of the mean of 1 / place over what was clicked."""

    def value(lists: "_Lists") -> np.ndarray:
        return lists.sums(lists.shared(1 / lists.place) * label) / np.maximum(lists.clicked, 1)

    return _mean(_Lists(prediction, label, group), value)


def ndcg(prediction: np.ndarray, label: np.ndarray, group: np.ndarray, k: int) -> Statistic:
    """Mean over lists of nDCG@k."""

    def value(lists: "_Lists") -> np.ndarray:
        gained = lists.sums(lists.shared(np.where(lists.place <= k, 1 / np.log2(1 + lists.place), 0)) * lists.label)
        most = np.clip(lists.clicked.astype(int), 1, k)
        return gained / np.cumsum(1 / np.log2(1 + np.arange(1, 1 + most.max())))[most - 1]

    return _mean(_Lists(prediction, label, group), value)


def at_k(prediction: np.ndarray, label: np.ndarray, group: np.ndarray, name: str, k: int) -> Statistic:
    """Mean over lists of a metric of AT_K, what was clicked being right; where such items tie, see `at_k.spread`."""

    def value(lists: "_Lists") -> np.ndarray:
        place, of = lists.clicks()
        found = np.zeros(len(lists.size))
        found[np.unique(of)] = AT_K[name](Right(place, of), k)
        return found

    return _mean(_Lists(prediction, label, group), value)


class _Lists:
    """The rows of every list ordered by falling prediction.

    place    (N,): from 1, in order
    size, clicked  (G,): how many rows of each list, and of them clicked
    """

    def __init__(self, prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> None:
        prediction = prediction[:, 1] if prediction.ndim == 2 and prediction.shape[1] == 2 else prediction
        if prediction.ndim != 1 or not np.isin(label, (0, 1)).all():
            raise ValueError("needs a prediction for each row, and labels that are 1 or 0")
        _, self.cluster, self.size = np.unique(group, return_inverse=True, return_counts=True)
        self.label = label
        self.clicked = self.sums(label)
        self._order = np.lexsort((-prediction, self.cluster))
        cluster, prediction = self.cluster[self._order], prediction[self._order]
        self.place = np.arange(len(cluster)) - (np.cumsum(self.size) - self.size)[cluster] + 1
        begins = (np.diff(cluster, prepend=-1) != 0) | (np.diff(prediction, prepend=np.inf) != 0)
        self._tie = np.cumsum(begins) - 1

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """The sum of values (N,) over each list (G,)."""
        return np.bincount(self.cluster, rows, len(self.size))

    def shared(self, values: np.ndarray) -> np.ndarray:
        """Values (N,) of the places, in order, as values of the rows: rows that tie get the mean of theirs."""
        found = np.empty(len(values))
        found[self._order] = (np.bincount(self._tie, values) / np.bincount(self._tie))[self._tie]
        return found

    def clicks(self) -> tuple[np.ndarray, np.ndarray]:
        """The place of everything clicked, and its list: those that tie spread over the places they share."""
        clicked = np.asarray(self.label, bool)[self._order]
        size, right = np.bincount(self._tie), np.bincount(self._tie, clicked)
        so_far = np.cumsum(clicked)
        nth = so_far - (np.cumsum(right) - right)[self._tie]
        first = self.place[np.cumsum(size) - size]  # of every tie
        tie = self._tie[clicked]
        return spread(first[tie] - 1, size[tie], right[tie], nth[clicked]), self.cluster[self._order][clicked]


def _mean(lists: _Lists, value: Callable[[_Lists], np.ndarray]) -> Statistic:
    """The mean of the lists' values, over lists that hold both what was clicked and what was not."""
    defined = (lists.clicked > 0) & (lists.clicked < lists.size)
    share = (defined / lists.size)[lists.cluster]
    total = np.where(defined, value(lists) / lists.size, 0)[lists.cluster]
    return lambda weight: ratio(weight @ total, weight @ share)
