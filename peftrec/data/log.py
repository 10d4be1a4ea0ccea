"""The event log: what every user did, in order, in one table or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

AT_ONCE = 1 << 22  # events that are sorted together


@dataclass(frozen=True)
class Log:
    """Events, grouped by user and ordered by time inside each user; histories are windows of it.

    rows        int32 (E,): text row of the event's item; may be `Gathered`
    items       int32 (E,): item number in the catalogue
    times       float64 (E,): seconds since 1970; 0 where no order is known
    user_start  int64 (users + 1,): user u's events are [user_start[u]:user_start[u + 1]]
    feedback    bool or float32 (E,): what the user said, as the task counts it: 1 liked, 0 not; a standardised number
                for regression-like tasks. The one field that differs between tasks; the others are shared.
    marks       int8 (E,): which of the task's history tables the event is of; None: there is one
    """

    rows: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_start: np.ndarray
    feedback: np.ndarray
    marks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def sums(self) -> np.ndarray:
        """`running` of the feedback (E + 1,): differences are sums over windows."""
        return running(self.feedback)

    def only(self, mark: int) -> "Log":
        """The events of one of the history tables."""
        assert self.marks is not None
        chosen = self.marks == mark
        start = np.append(0, np.cumsum(chosen))[self.user_start]
        columns = (self.rows, self.items, self.times)
        rows, items, times = (column[chosen] for column in columns)
        return Log(rows, items, times, start, self.feedback[chosen])

    @property
    def users(self) -> np.ndarray:
        """The user number of every event, int64 (E,)."""
        return np.repeat(np.arange(len(self.user_start) - 1), np.diff(self.user_start))

    def first_of(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place of each user's first event with an item, int (N,), beyond the log where there is none, and how many
        such events the user has, int32 (N,)."""
        users, items = np.asarray(users), np.asarray(items)
        place_of = np.int32 if len(self) < 1 << 31 else np.int64
        first, count = np.full(len(users), len(self), place_of), np.zeros(len(users), np.int32)
        ordered = bool((users[1:] >= users[:-1]).all())  # as the rows of tables are: then nothing is sorted
        order = None if ordered else np.argsort(users, kind="stable")
        size = 1 + int(max(self.items.max(initial=0), items.max(initial=0)))
        low, last = 0, len(self.user_start) - 1
        while low < last:  # as many users as have so many events together, for what sorting them takes
            high = int(np.searchsorted(self.user_start, self.user_start[low] + AT_ONCE, side="right")) - 1
            high = min(last, max(low + 1, high))
            begin, end = self.user_start[[low, high]]
            pairs = np.repeat(np.arange(high - low), np.diff(self.user_start[low : high + 1])) * size
            known, place, events = np.unique(pairs + self.items[begin:end], return_index=True, return_counts=True)
            ends = np.searchsorted(users, [low, high], sorter=order)
            rows = np.arange(*ends) if order is None else order[slice(*ends)]
            asked = (users[rows].astype(np.int64) - low) * size + items[rows]
            at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
            there = known[at] == asked if len(known) else np.zeros(len(rows), bool)
            first[rows[there]], count[rows[there]] = begin + place[at[there]], events[at[there]]
            low = high
        return first, count

    def before(self, users: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Where each user's events strictly before a time end, int64 (N,); NaN comes after every event."""
        return places_between(self.times, self.user_start[users], self.user_start[users + 1], times)


def running(feedback: np.ndarray) -> np.ndarray:
    """Sums of all that is before each place (E + 1,): int32 of liked or not, else float64."""
    kind = np.int32 if feedback.dtype == bool else np.float64
    sums = np.zeros(len(feedback) + 1, kind)
    np.cumsum(feedback, dtype=kind, out=sums[1:])
    return sums


def spans(begin: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of so many places from `begin` (N,) on, one span after the other: whose each is (M,), and the place (M,)."""
    span = np.repeat(np.arange(len(begin)), count)
    return span, np.arange(len(span)) + (begin - np.append(0, np.cumsum(count)[:-1]))[span]


def places_between(times: np.ndarray, low: np.ndarray, high: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The first place of low:high (N,), where `times` (E,) ascend, that is not before each time asked for (N,).

    `high` where all are before, as they are for a time that is NaN. By halving, as `searchsorted` has no such ranges.
    """
    if len(times) == 0:
        return low
    low = np.where(np.isnan(asked), high, low)
    while (low < high).any():
        middle = (low + high) // 2
        before = ~(times[np.minimum(middle, len(times) - 1)] >= asked)
        low, high = np.where((low < high) & before, middle + 1, low), np.where((low < high) & ~before, middle, high)
    return low


def merged(logs: Sequence[Log]) -> Log:
    """One log of several tables' logs over the same users and catalogue, each marked by its place among them."""
    if len(logs) == 1:
        return logs[0]
    user, time = (np.concatenate(parts) for parts in ([log.users for log in logs], [log.times for log in logs]))
    order = np.lexsort((time, user))  # stable: at one time the tables keep their order
    count = np.bincount(user, minlength=len(logs[0].user_start) - 1)

    def joined(name: str) -> np.ndarray:
        found: np.ndarray = np.concatenate([getattr(log, name) for log in logs])[order]
        return found

    return Log(
        rows=joined("rows"),
        items=joined("items"),
        times=time[order],
        user_start=np.append(0, np.cumsum(count)),
        feedback=joined("feedback"),
        marks=np.repeat(np.arange(len(logs), dtype=np.int8), [len(log) for log in logs])[order],
    )
