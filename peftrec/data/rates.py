"""How items and users were received so far: mean feedback and counts strictly before a moment."""

from copy import copy

import numpy as np

from peftrec.data.log import Log, places_between, running

RATE_FEATURES = ["item_mean", "item_count", "user_mean", "user_count"]
PSEUDO = 5  # events with the base feedback that every mean starts from, also those of the priors


class _ByItem:
    """Where among events that are ordered by (item, time) any moment of an item stands. `order` int (E,): that order.

    times  float64 (E,): when they were
    begin  int (I + 2,): where each item's events begin, from item -1, which has none, to one beyond the last
    """

    def __init__(self, items: np.ndarray, times: np.ndarray, order: np.ndarray) -> None:
        self.times = times[order]
        self.begin = np.concatenate([[0, 0], np.cumsum(np.bincount(items))])

    def begin_of(self, items: np.ndarray) -> np.ndarray:
        """Where the events of items (N,) begin; items that no event is of have none."""
        found: np.ndarray = self.begin[np.minimum(items + 1, len(self.begin) - 1)]
        return found

    def places(self, items: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Where events of items (N,) at times (N,) would come; a time that is NaN comes after every event."""
        ends = np.append(self.begin, len(self.times))
        number = np.minimum(items + 1, len(self.begin) - 1)
        return places_between(self.times, ends[number], ends[number + 1], times)


class Rates:
    """Means of a log's feedback by item and by user, as they stood at any moment.

    log     the events of one table
    places_of_log  int32 (E,): `places` of its own events
    base    the feedback that an item or user without events is taken to have; the train rows' mean
    others  how often items occurred in other tables; None: histories are of this one alone
    """

    def __init__(self, log: Log, base: float, others: "Counts | None" = None) -> None:
        self.log, self.base, self.others = log, base, others
        order = np.lexsort((log.times, log.items))
        self._by_item = by_item = _ByItem(log.items, log.times, order)
        self._sums = running(log.feedback[order])
        place, first = np.arange(len(log), dtype=np.int32), by_item.begin[:-1][np.diff(by_item.begin) > 0]
        place[1:][by_item.times[1:] == by_item.times[:-1]] = 0  # the place of the first at that time
        place[first] = first
        self.places_of_log = np.empty(len(log), np.int32)
        self.places_of_log[order] = np.maximum.accumulate(place)

    def of_users_in(self, log: Log) -> "Rates":
        """The same of the items, and of the users of another log."""
        other = copy(self)
        other.log = log
        return other

    def places(self, items: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Where events of `items` at `times` would come in the log ordered by (item, time), int32 (N,); a time that is
        NaN comes after every event.

        Looked up once, since in a large log this takes longer than all else that is done with a row in training.
        """
        return self._by_item.places(items, times).astype(np.int32)

    def of_items(self, items: np.ndarray, places: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Smoothed mean feedback and log1p of the count of events strictly before, float32 (N, 2).

        `own` int (N,): the event of the log that the row itself is and that does not count; -1 where it is none.
        """
        begin = self._by_item.begin_of(items)
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


class Counts:
    """How often the items of events occurred, as it stood at any moment. `items`, `times` (E,), in any order.

    own  the mark of the table that they stand beside, of which alone histories say how events were received; None:
         histories count what other tables have no word of as liked, or average, as runs of before do
    """

    def __init__(self, items: np.ndarray, times: np.ndarray, own: int | None = None) -> None:
        self.own = own
        self._by_item = _ByItem(items, times, np.lexsort((times, items)))
        self._moments = np.sort(times)

    def share(self, items: np.ndarray, times: np.ndarray) -> np.ndarray:
        """log of (1 + events of the item) / (1 + all events) strictly before each time (N,), float64 (N,); a time that
        is NaN comes after every event. Counts themselves grow with the log."""
        count = self._by_item.places(items, times) - self._by_item.begin_of(items)
        whole = np.where(np.isnan(times), len(self._moments), np.searchsorted(self._moments, times))
        found: np.ndarray = np.log1p(count) - np.log1p(whole)
        return found


def counts_beside(log: Log, own: int, apart: bool = True) -> Counts | None:
    """How often items occurred in the tables of a log but for the one with the mark `own`; None where it has one.

    `apart`: whether histories say of events of that one alone how they were received.
    """
    if log.marks is None:
        return None
    others = log.marks != own
    return Counts(log.items[others], log.times[others], own if apart else None)
