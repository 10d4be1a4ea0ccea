"""The event log: what every user did, in order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Log:
    """Every event, grouped by user and ordered by time inside each user; histories are windows of it.

    rows        int32 (E,): text row of the event's item
    items       int32 (E,): item number in the catalogue
    times       float64 (E,): seconds since 1970
    user_start  int64 (users + 1,): user u's events are [user_start[u]:user_start[u + 1]]
    feedback    float32 (E,): what the user said, as the task counts it: 1 liked, 0 not; a standardised number for
                regression-like tasks. The one field that differs between tasks; the others are shared.
    """

    rows: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_start: np.ndarray
    feedback: np.ndarray

    @cached_property
    def sums(self) -> np.ndarray:
        """Feedback of all events before each place, float64 (E + 1,): differences are sums over windows."""
        return np.append(0, np.cumsum(self.feedback, dtype=np.float64))
