"""BM25 of queries with the items of a catalogue (Robertson and Zaragoza 2009), over n-grams of one sort.

Of a query with item: the sum over its n-grams of rarity * count in the item, saturated and by the item's length, as a
share of what the query could get at most, (k1 + 1) times its n-grams' rarity, so that long queries get no larger
numbers; a query's items come in the same order. Rarity is over the catalogue's texts.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from peftrec.data.catalogue import Catalogue
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.grams import Counter, characters, words

SATURATION, LENGTH_SHARE = 1.2, 0.75  # k1 and b, as Lucene has them
# Runs of one to three characters tell Chinese apart, of three to five languages that write words apart.
COUNTERS: dict[str, Counter] = {"words": words(1), "short runs": characters(1, 3), "long runs": characters(3, 5)}


class Bm25:
    """BM25 by the rarity of n-grams in, and the mean length of, some texts."""

    def __init__(self, counter: Counter, texts: Sequence[str]) -> None:
        self.counter = counter
        counts = counter(texts)
        having = np.bincount(counts.indices, minlength=counts.shape[1])
        self.rarity = np.log(1 + (counts.shape[0] - having + 0.5) / (having + 0.5)).astype(np.float32)
        self.length = max(float(counts.sum(dtype=np.float64) / counts.shape[0]), 1e-9)
        self.texts = self._offered(counts)

    def asked(self, queries: Sequence[str]) -> sparse.csr_matrix:
        """Queries (at least one) as each n-gram's share of what they could get at most, float32 (N, V)."""
        counts = self.counter(queries)
        values = counts.data * self.rarity[counts.indices]
        most = np.asarray(valued(counts, values).sum(1)).ravel() * (SATURATION + 1)
        return valued(counts, values / np.repeat(np.maximum(most, 1e-9), np.diff(counts.indptr)))

    def offered(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Texts (at least one) as what each n-gram gives to a query that has it, float32 (N, V)."""
        return self._offered(self.counter(texts))

    def _offered(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        return valued(counts, saturated(counts, self.length).astype(np.float32))


class CatalogueBm25:
    """BM25 of rows of queries with the items of their catalogue: its n-grams are counted once.

    sort  one of COUNTERS
    """

    def __init__(self, sort: str, texts: TextTable, catalogue: Catalogue) -> None:
        self.texts, self.rows = texts, catalogue.rows
        self.bm25 = Bm25(COUNTERS[sort], [texts.texts[row] for row in self.rows])
        self._known = np.zeros(0, np.int64)  # text rows of queries, ascending, and their n-grams
        self._asked = sparse.csr_matrix((0, len(self.bm25.rarity)), dtype=np.float32)

    def remember(self, queries: np.ndarray) -> None:
        """Count the n-grams of queries (N,), by their text rows, once for all."""
        self._known = np.unique(queries)
        self._asked = self.bm25.asked([self.texts.texts[row] for row in self._known])

    def __call__(self, rows: Examples) -> np.ndarray:
        """Of each row's own item, and then of every candidate, float32 (N, 1 + C)."""
        if not len(rows):
            return np.zeros((0, 1 + (0 if rows.candidates is None else len(rows.candidates))), np.float32)
        queries, query = np.unique(rows.slots["query"], return_inverse=True)
        asked = self._of_queries(queries)
        own = np.asarray(asked[query].multiply(self._own(rows)).sum(1), np.float32)
        if rows.candidates is None:
            return own
        every = len(rows.candidates) == len(self.rows)  # which are then the catalogue in its order
        offered = self.bm25.texts if every else self.bm25.texts[rows.candidates]
        return np.concatenate([own, (asked @ offered.T).toarray()[query]], 1)

    def _of_queries(self, rows: np.ndarray) -> sparse.csr_matrix:
        place = np.minimum(np.searchsorted(self._known, rows), max(0, len(self._known) - 1))
        if len(self._known) and (self._known[place] == rows).all():
            return self._asked[place]
        return self.bm25.asked([self.texts.texts[row] for row in rows])

    def _own(self, rows: Examples) -> sparse.csr_matrix:
        """What each row's own item gives; one that the catalogue lacks brings its text."""
        item = np.asarray(rows.item)
        if (item >= 0).all():
            return self.bm25.texts[item]
        return self.bm25.offered([self.texts.texts[row] for row in rows.slots["item"]])


def saturated(counts: sparse.csr_matrix, mean_length: float) -> np.ndarray:
    """What every count of n-grams in texts (N, V) gives, by each text's length beside the mean one."""
    length = np.repeat(np.asarray(counts.sum(1)).ravel(), np.diff(counts.indptr)) / mean_length
    return counts.data * (SATURATION + 1) / (counts.data + SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length))


def valued(counts: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    """Other values in the places of these counts."""
    return sparse.csr_matrix((values, counts.indices, counts.indptr), counts.shape)
