"""The catalogue that a task ranks: its items' texts, and how often each had been chosen by any moment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from peftrec.data.features import NO_FEATURES, FeatureTable

SNAPSHOTS = 128  # moments at which choices are counted, spread evenly over them
COUNTS = 1 << 26  # counts kept at most (256 MB): a larger catalogue has fewer snapshots
AT_ONCE = 1 << 22  # choices counted together
CANDIDATES = 4096  # items that a training step tells its rows' own items from; of a larger catalogue a sample


@dataclass(frozen=True)
class Catalogue:
    """Items by number, and who was chosen when.

    rows   int32 (I,): text row of every item
    items  int (E,): the item of every choice, and
    times  float64 (E,): its time, in any order; None where choices do not count
    """

    rows: np.ndarray
    items: np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _snapshots(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments float64 (K,), and log1p of the choices before the first, strictly before each, and of all: float32
        (K + 2, I)."""
        assert self.items is not None and self.times is not None
        times = np.sort(self.times)
        count = min(SNAPSHOTS, max(1, COUNTS // max(1, len(self)))) if len(times) else 0
        moments = np.unique(times[np.arange(count) * len(times) // max(1, count)])
        counts = np.zeros((len(moments) + 2, len(self)), np.float32)
        for first in range(0, len(times), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            np.add.at(counts, (1 + np.searchsorted(moments, self.times[some], side="right"), self.items[some]), 1)
        np.cumsum(counts, axis=0, out=counts)
        return moments, np.log1p(counts, out=counts)

    def popularity(self, times: np.ndarray, items: np.ndarray | None = None) -> np.ndarray:
        """How often items had been chosen, log1p, as of the last snapshot no later than each of `times` (N,).

        `items` (C,), or (N, C) with each row's own; by default all. float32 (N, C). What happens at a time is not
        before it; a time that is NaN comes after everything.
        """
        moments, counts = self._snapshots
        line = np.where(np.isnan(times), len(moments) + 1, np.searchsorted(moments, times, side="right"))
        if items is not None and items.ndim == 2:
            own: np.ndarray = counts[line[:, None], items]
            return own
        # The columns first: there are far fewer snapshots than rows, whose lines are then copied whole.
        found: np.ndarray = (counts if items is None else counts[:, items])[line]
        return found

    def candidates(self, seed: int, step: int) -> np.ndarray:
        """Item numbers that a training step tells its rows' own items from, ascending: all, or a uniform sample."""
        if len(self) <= CANDIDATES:
            return np.arange(len(self))
        return np.sort(np.random.default_rng((seed, step)).choice(len(self), CANDIDATES, replace=False))


@dataclass(frozen=True)
class ItemTexts:
    """A catalogue among a run's texts.

    ids   in item-number order
    rows  int32 (I,): text row of each item
    features  of each item, as they were read
    """

    ids: list[str]
    rows: np.ndarray
    features: FeatureTable = NO_FEATURES

    def __len__(self) -> int:
        return len(self.ids)
