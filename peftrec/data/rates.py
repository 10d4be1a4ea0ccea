"""How items and users were received so far: mean feedback and counts strictly before a moment."""

from copy import copy

import numpy as np

from peftrec.data.log import Log

RATE_FEATURES = ["item_mean", "item_count", "user_mean", "user_count"]
PSEUDO = 5  # events with the base feedback that every mean starts from, also those of the priors


class Rates:
    """Means of a log's feedback by item and by user, as they stood at any moment.

    log   the events of one table
    base  the feedback that an item or user without events is taken to have; the train rows' mean
    """

    def __init__(self, log: Log, base: float) -> None:
        self.log, self.base = log, base
        self._moments = np.unique(log.times)
        keys = self._keys(log.items, log.times)
        order = np.argsort(keys, kind="stable")
        self._ordered = keys[order]
        # Where each item's events begin, from item -1, which has none, to one beyond the last.
        self._begin = np.searchsorted(self._ordered, self._keys(np.arange(-1, log.items.max(initial=-1) + 2), -np.inf))
        self._sums = np.append(0, np.cumsum(log.feedback[order], dtype=np.float64))

    def of_users_in(self, log: Log) -> "Rates":
        """The same of the items, and of the users of another log."""
        other = copy(self)
        other.log = log
        return other

    def _keys(self, items: np.ndarray, times: np.ndarray | float) -> np.ndarray:
        """Numbers that order like (item, time); a time that is NaN comes after every event."""
        return items.astype(np.int64) * (len(self._moments) + 1) + np.searchsorted(self._moments, times)

    def places(self, items: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Where events of `items` at `times` would come in the log ordered by (item, time), int32 (N,).

        Looked up once, since in a large log this takes longer than all else that is done with a row in training.
        """
        keys = self._keys(items, times)
        order = np.argsort(keys)  # what is looked up in order is still in the processor's cache
        places = np.empty(len(keys), np.int32)
        places[order] = np.searchsorted(self._ordered, keys[order])
        return places

    def of_items(self, items: np.ndarray, places: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Smoothed mean feedback and log1p of the count of events strictly before, float32 (N, 2).

        `own` int (N,): the event of the log that the row itself is and that does not count; -1 where it is none.
        """
        begin = self._begin[np.minimum(items + 1, len(self._begin) - 1)]
        if own is not None and len(self.log):
            own = np.where(self.log.items[own] == items, own, -1)  # another item than the row's own is asked about
        return self._columns(self._sums[places] - self._sums[begin], places - begin, own)

    def of_users(self, users: np.ndarray, stop: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """The same of each user's own events log[user_start[user]:stop], float32 (N, 2)."""
        begin = self.log.user_start[users]
        return self._columns(self.log.sums[stop] - self.log.sums[begin], stop - begin, own)

    def _columns(self, total: np.ndarray, count: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        if own is not None and len(self.log):
            total = total - np.where(own >= 0, self.log.feedback[own], 0)
            count = count - (own >= 0)
        mean = (total + PSEUDO * self.base) / (count + PSEUDO)
        return np.stack([mean, np.log1p(count)], 1).astype(np.float32)
