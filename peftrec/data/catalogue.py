"""The catalogue that a task ranks: its items' texts, what was chosen when, and which items go together."""

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from peftrec.data.features import NO_FEATURES, FeatureTable
from peftrec.data.neighbours import Neighbours, fit_neighbours

SNAPSHOTS = 128  # moments at which choices are counted, spread evenly over them
LATELY = 8  # snapshots back from a moment: what was chosen since is recent, a sixteenth of all that was ever chosen
COUNTS = 1 << 26  # counts kept at most (256 MB): a larger catalogue has fewer snapshots
AT_ONCE = 1 << 22  # choices counted together
CANDIDATES = 4096  # items that a training step tells its rows' own items from; of a larger catalogue a sample
LEARNT = 1 << 22  # choices that are looked at for what goes together, at most: of more those of every so many users
FOLDS = 4  # parts of the users, for each of which it is counted without them which items go together


@dataclass(frozen=True)
class Choices:
    """Who chose what of a catalogue of `size` items: `users`, `items` int (E,), each user's oldest first."""

    users: np.ndarray
    items: np.ndarray
    size: int

    def thinned(self) -> "Choices":
        """Those of every so many users, where there are very many."""
        every = -(-len(self.users) // LEARNT)
        if every <= 1:
            return self
        some = np.flatnonzero(self.users // FOLDS % every == 0)  # of all folds
        return Choices(self.users[some], self.items[some], self.size)

    @cached_property
    def together(self) -> Neighbours:
        """Which items go together."""
        return fit_neighbours(self.users, self.items, self.size)

    @cached_property
    def without(self) -> list[Neighbours]:
        """The same by all but the choices of each fold's users."""
        others = [np.flatnonzero(fold_of(self.users) != fold) for fold in range(FOLDS)]
        return [fit_neighbours(self.users[of], self.items[of], self.size) for of in others]


@dataclass(frozen=True)
class Catalogue:
    """Items by number, and who was chosen when.

    rows   int32 (I,): text row of every item
    items  int (E,): the item of every choice, and
    times  float64 (E,): its time, in any order; None where choices do not count
    learnt   the choices of the train rows, by which it is known what goes together
    later    the same once the validation rows are train rows; None: the choices of these and those
    known    what goes together, where that was kept by a run
    alike    whose texts are alike, where that counts
    """

    rows: np.ndarray
    items: np.ndarray | None = None
    times: np.ndarray | None = None
    learnt: Choices | None = None
    later: Choices | None = None
    known: Neighbours | None = None
    alike: Neighbours | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def neighbours(self) -> Neighbours:
        """Which items go together, by all train rows."""
        if self.known is not None:
            return self.known
        assert self.learnt is not None
        return self.learnt.together

    def with_neighbours(self, alike: Neighbours | None, known: Neighbours | None = None) -> "Catalogue":
        """The same, knowing whose texts are alike, and by a run that kept it what goes together; what was counted of
        choices stays."""
        made = copy(self)
        vars(made).update(alike=alike, known=self.known if known is None else known)
        return made

    def neighbours_for(self, fold: int) -> Neighbours:
        """Which items go together, for rows of a fold, whose own choice must not be in it; -1: of none."""
        if fold < 0:
            return self.neighbours
        assert self.learnt is not None
        return self.learnt.without[fold]

    @cached_property
    def _snapshots(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments float64 (K,), and the choices before the first, strictly before each, and all: float32 (K + 2, I)."""
        assert self.items is not None and self.times is not None
        times = np.sort(self.times)
        count = min(SNAPSHOTS, max(1, COUNTS // max(1, len(self)))) if len(times) else 0
        moments = np.unique(times[np.arange(count) * len(times) // max(1, count)])
        counts = np.zeros((len(moments) + 2, len(self)), np.float32)
        for first in range(0, len(times), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            np.add.at(counts, (1 + np.searchsorted(moments, self.times[some], side="right"), self.items[some]), 1)
        return moments, np.cumsum(counts, axis=0, out=counts)

    def popularity(self, times: np.ndarray, items: np.ndarray | None = None, lately: bool = False) -> np.ndarray:
        """How often items had been chosen, log1p, as of the last snapshot no later than each of `times` (N,).

        `items` (C,), or (N, C) with each row's own; by default all. `lately`: only what was chosen since some snapshots
        before. float32 (N, C). What happens at a time is not before it; a time that is NaN comes after everything.
        """
        moments, counts = self._snapshots
        line = np.where(np.isnan(times), len(moments) + 1, np.searchsorted(moments, times, side="right"))
        before = np.maximum(line - LATELY, 0)
        if items is not None and items.ndim == 2:
            own: np.ndarray = counts[line[:, None], items]
            return np.log1p(own - counts[before[:, None], items] if lately else own)
        # Rows share few snapshots, whose lines are made once.
        lines, which = np.unique(line, return_inverse=True)
        asked = (lines,) if items is None else (lines[:, None], items)
        found: np.ndarray = counts[asked]
        if lately:
            found = found - counts[(np.maximum(lines - LATELY, 0).reshape(asked[0].shape), *asked[1:])]
        logs: np.ndarray = np.log1p(found)[which]
        return logs

    def candidates(self, seed: int, step: int) -> np.ndarray:
        """Item numbers that a training step tells its rows' own items from, ascending: all, or a uniform sample."""
        if len(self) <= CANDIDATES:
            return np.arange(len(self))
        return np.sort(np.random.default_rng((seed, step)).choice(len(self), CANDIDATES, replace=False))


def fold_of(users: np.ndarray) -> np.ndarray:
    """The fold of each user, by their numbers."""
    found: np.ndarray = users % FOLDS
    return found


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
