"""Which items are known to match which query: what is no wrong answer to it, and what it is told from in training."""

from dataclasses import dataclass

import numpy as np

from peftrec.data.catalogue import CANDIDATES
from peftrec.data.log import spans


@dataclass(frozen=True)
class Matches:
    """Queries by number, and each one's matching items.

    start  int64 (Q + 1,): query q's are items[start[q]:start[q + 1]], ascending and once each
    items  int64 (M,)
    rivals int32 (Q, K): items of each query that look like matches and are none as far as is known, -1 where there are
           fewer; None where nobody looked for them
    """

    start: np.ndarray
    items: np.ndarray
    rivals: np.ndarray | None = None

    def of(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of queries (N,) the position int64 (M,) and the item (M,) of every match."""
        begin, count = self.start[queries], self.start[np.asarray(queries) + 1] - self.start[queries]
        position, place = spans(begin, count)
        return position, self.items[place]

    def candidates(self, queries: np.ndarray, items: np.ndarray, seed: int, step: int) -> np.ndarray:
        """Item numbers, ascending, that a training step tells its rows' own from: those of all its rows, by their
        queries (N,) and `items` (N,), and a rival of each; of more than CANDIDATES a sample."""
        random, found = np.random.default_rng((seed, step)), [np.asarray(items)]
        if self.rivals is not None and self.rivals.shape[1]:
            drawn = self.rivals[queries, random.integers(0, self.rivals.shape[1], len(queries))]
            found.append(drawn[drawn >= 0])
        every = np.unique(np.concatenate(found)).astype(np.int64)
        return every if len(every) <= CANDIDATES else np.sort(random.choice(every, CANDIDATES, replace=False))

    def counts(self) -> np.ndarray:
        """How many items match each query, int64 (Q,)."""
        return np.diff(self.start)


def matches_of(query: np.ndarray, item: np.ndarray, queries: int) -> Matches:
    """The matches that pairs (N,) of query and item are."""
    size = 1 + int(item.max(initial=0))
    pairs = np.unique(np.asarray(query, np.int64) * size + item)
    return Matches(np.searchsorted(pairs, np.arange(queries + 1) * size), pairs % size)
