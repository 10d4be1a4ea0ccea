"""What the first k items of lists are like, beside how right they are.

Of one list (`EACH`), then the mean over lists:

    novelty          mean of -log2 of the share of the train rows that each item has, one row added to every item
    diversity        mean over pairs of 1 - cosine of the items' texts, as the frozen backbone reads them
    popularity_bias  the mean of the items' train rows, over that of what was chosen in the rows that are measured; less
                     1: 0 where what stands first is as popular as what is chosen

Of all lists together (`ALL`), without an interval, since they depend on how many lists there are:

    coverage         the share of the catalogue that stands in any list
    gini             how unevenly the catalogue's items are named: 0 all alike, 1 always the same
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from peftrec.data.unit import of_length_one
from peftrec.evaluation.at_k import split_name


@dataclass(frozen=True)
class Shelf:
    """What is known of the items of a catalogue.

    rows     float64 (I,): how many train rows each has
    usual    the mean of these over what was chosen in the rows that are measured, above 0 for `popularity_bias`
    vectors  float32 (I, D): what the frozen backbone says of their texts; None: nothing
    """

    rows: np.ndarray
    usual: float
    vectors: np.ndarray | None = None


@dataclass(frozen=True)
class OfList:
    """`value(first items (L, k), shelf)` of each list (L,); items are numbers, -1 where a list is shorter."""

    value: Callable[[np.ndarray, Shelf], np.ndarray]
    higher: bool


@dataclass(frozen=True)
class OfAll:
    """`value(counts)` of all lists, by how often each item (I,) stands in them."""

    value: Callable[[np.ndarray], float]
    higher: bool


def novelty(first: np.ndarray, shelf: Shelf) -> np.ndarray:
    """See above; in bits."""
    return _mean(-np.log2((shelf.rows + 1) / (shelf.rows.sum() + len(shelf.rows))), first)


def diversity(first: np.ndarray, shelf: Shelf) -> np.ndarray:
    """See above; 0 of a single item."""
    assert shelf.vectors is not None
    unit = of_length_one(shelf.vectors)
    unit = np.append(unit, np.zeros((1, unit.shape[1]), unit.dtype), 0)
    count = (first >= 0).sum(1)
    pairs = count * (count - 1)
    found = np.zeros(len(first))
    for column in unit.T.astype(np.float64):  # sum over pairs of products = square of the sum - sum of squares
        of = column[first]
        found += of.sum(1) ** 2 - (of**2).sum(1)
    return np.where(pairs > 0, 1 - found / np.maximum(pairs, 1), 0.0)


def popularity_bias(first: np.ndarray, shelf: Shelf) -> np.ndarray:
    """See above."""
    return _mean(shelf.rows, first) / shelf.usual - 1


def coverage(counts: np.ndarray) -> float:
    """See above."""
    return float((counts > 0).mean())


def gini(counts: np.ndarray) -> float:
    """See above."""
    items = len(counts)
    return float((2 * np.arange(1, items + 1) - items - 1) @ np.sort(counts) / (items * counts.sum()))


EACH = {
    "novelty": OfList(novelty, higher=True),
    "diversity": OfList(diversity, higher=True),
    "popularity_bias": OfList(popularity_bias, higher=False),
}
ALL = {
    "coverage": OfAll(coverage, higher=True),
    "gini": OfAll(gini, higher=False),
}
BEYOND: dict[str, OfList | OfAll] = {**EACH, **ALL}


class Tally:
    """The values of some of these metrics, as lists are seen."""

    def __init__(self, names: Sequence[str], shelf: Shelf) -> None:
        self.shelf = shelf
        self._cuts = {name: (base, k) for name in names for base, k in [split_name(name)] if k is not None}
        self._each: dict[str, list[np.ndarray]] = {n: [] for n, (base, _) in self._cuts.items() if base in EACH}
        self._counts = {k: np.zeros(len(shelf.rows)) for base, k in self._cuts.values() if base in ALL}

    @property
    def most(self) -> int:
        """How many items of a list are looked at."""
        return max((k for _, k in self._cuts.values()), default=0)

    def see(self, scores: np.ndarray) -> None:
        """Take lists (L, I) of scores in, of which those that are -inf are no candidates."""
        if not self.most:
            return
        first = first_items(scores, self.most)
        for name, found in self._each.items():
            base, k = self._cuts[name]
            found.append(EACH[base].value(first[:, :k], self.shelf))
        for k, counts in self._counts.items():
            named = first[:, :k]
            counts += np.bincount(named[named >= 0], minlength=len(counts))

    def found(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """By name, the value of every list seen, float64 (L,), and that of all lists together."""
        each = {name: np.concatenate(found) for name, found in self._each.items()}
        return each, {n: ALL[base].value(self._counts[k]) for n, (base, k) in self._cuts.items() if base in ALL}


def first_items(scores: np.ndarray, k: int) -> np.ndarray:
    """The items (L, k) that score highest in each line (L, I), best first; -1 beyond those above -inf.

    Equal ones stand by number; which of those that tie with the last are among them is nobody's choice.
    """
    k = min(k, scores.shape[1])
    some = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    of = np.take_along_axis(scores, some, 1)
    order = np.argsort(-of, axis=1, kind="stable")
    found = np.where(of > -np.inf, some, -1)
    return np.take_along_axis(found, order, 1)


def _mean(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The mean of the items' values (I,) over each list (L,)."""
    there = first >= 0
    found: np.ndarray = np.where(there, values[first], 0).sum(1) / there.sum(1)
    return found
