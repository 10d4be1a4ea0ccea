"""The prior `lexical`: how far query and item share words and runs of characters."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.bm25 import COUNTERS, saturated, valued
from peftrec.tasks.priors.choice import Chosen, best, held_out, judge, learn, once, predicted
from peftrec.tasks.priors.grams import BITS, read_columns
from peftrec.tasks.priors.linear import Linear, linear, read_linear
from peftrec.tasks.priors.stored import FLOATS, sorts, stored

SORTS = (("words",), ("short runs",), ("long runs",), ("words", "short runs"), ("words", "long runs"))
MOST_CHARACTERS = 8_000_000  # of the train rows' different texts
PAIRS_AT_ONCE = 4096


def lexical(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Grade probabilities (N, C) from what query and item share: logistic regression on three overlaps of each sort.

    The overlaps are the TF-IDF cosine, the TF-IDF share of the query that the item has, and BM25 as a share of what the
    query could get. The weights come from the train rows' texts; which sorts of n-grams, the validation rows choose.
    """
    chosen = choose_overlaps(dataset, task)
    return predicted(chosen, dataset.tasks[task], examples)


@once
def choose_overlaps(dataset: Dataset, task: str) -> "Chosen[OverlapScores]":
    """The sorts of n-grams that the validation rows choose, and the models; see `lexical`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    data, texts = dataset.tasks[task], dataset.texts
    fitted, check = held_out(data)
    read = dict.fromkeys(chain(*SORTS))
    overlaps = {sort: overlaps_of(sort, texts, _affordable(data.train, texts)) for sort in read}
    for of in overlaps.values():
        of.remember(_affordable(data.train, texts), check)

    def fit(sorts: tuple[str, ...], rows: Examples) -> OverlapScores:
        rows, parts = _affordable(rows, texts), tuple(overlaps[sort] for sort in sorts)
        features = np.concatenate([of(rows) for of in parts], 1)
        scale = StandardScaler().fit(features)
        model = learn(LogisticRegression(max_iter=1000), scale.transform(features), rows.label)
        return OverlapScores(parts, linear(model, len(data.classes)).of_unscaled(scale.mean_, scale.scale_))

    chosen = best([judge(sorts, fit(sorts, fitted)(check), check.label) for sorts in SORTS])

    def again(rows: Examples) -> OverlapScores:
        return fit(chosen.way, rows)

    return Chosen(chosen, check, again, again(data.train))


@dataclass(frozen=True)
class OverlapScores:
    """A linear model on the overlaps of query and item."""

    overlaps: "tuple[Overlaps, ...]"
    model: Linear

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-scores (N, C), up to one factor."""
        if not len(rows):
            return self.model.of_none()
        return self.model(np.concatenate([of(rows) for of in self.overlaps], 1))

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors."""
        return {"overlaps": [of.sort for of in self.overlaps]}

    def tensors(self) -> dict[str, np.ndarray]:
        """The linear model, and by what it weighs n-grams."""
        kept = self.model.tensors()
        for of in self.overlaps:
            kept |= of.tensors()
        return kept


def read_scores(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], texts: TextTable, classes: int
) -> OverlapScores:
    """What was kept so. Raises KeyError, TypeError or ValueError for what is none."""
    found = tuple(read_overlaps(sort, tensors, texts) for sort in sorts("overlaps", settings["overlaps"], COUNTERS))
    return OverlapScores(found, read_linear(tensors, 3 * len(found), classes))


class Overlaps:
    """How far query and item share n-grams of one sort, weighted by how rare these are among some texts.

    columns, rarity  of the n-grams in these texts; `unseen` that of others; `length` of a text in the mean
    """

    def __init__(
        self, sort: str, texts: TextTable, columns: np.ndarray, rarity: np.ndarray, unseen: float, length: float
    ) -> None:
        self.sort, self.texts, self.counter = sort, texts, COUNTERS[sort]
        self.columns, self.unseen, self.length = columns, unseen, length
        self.rarity = np.full(1 << BITS, unseen)
        self.rarity[columns] = rarity
        self._known, self._found = np.zeros(0, np.int64), np.zeros((0, 3))
        self._items: tuple[list[str], tuple[sparse.csr_matrix, ...]] | None = None

    def remember(self, *some: Examples) -> None:
        """Keep the overlaps of these rows' pairs."""
        keys = np.concatenate([self._keys(rows) for rows in some])
        found = np.concatenate([self(rows) for rows in some])
        self._known, first = np.unique(keys, return_index=True)
        self._found = found[first]

    def __call__(self, rows: Examples) -> np.ndarray:
        """The three overlaps of each row, float64 (N, 3)."""
        if not len(rows):
            return np.zeros((0, 3))
        if len(self._known):
            keys = self._keys(rows)
            place = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
            if (self._known[place] == keys).all():
                return self._found[place]
        left, left_row, right, right_row = _sides(self.texts, rows)
        query = self.counter(left)
        queries, asked = self._weighted(query), valued(query, self.rarity[query.indices])
        unit, having, held = self._of_items(right)
        possible, total = (np.asarray(of.sum(1)).ravel() for of in (asked, queries))
        length = np.sqrt(np.asarray(queries.multiply(queries).sum(1)).ravel())
        found = np.empty((len(left_row), 3))
        for start in range(0, len(left_row), PAIRS_AT_ONCE):
            at = slice(start, start + PAIRS_AT_ONCE)
            q, i = left_row[at], right_row[at]
            for column, (a, b, whole) in enumerate(
                ((queries, unit, length), (queries, having, total), (asked, held, possible))
            ):
                found[at, column] = np.asarray(a[q].multiply(b[i]).sum(1)).ravel() / np.maximum(whole[q], 1e-9)
        return found

    def _of_items(self, texts: list[str]) -> tuple[sparse.csr_matrix, ...]:
        """Items as unit vectors, as what they have, and as BM25 saturates it; those last asked for are kept, since a
        catalogue is asked for again and again."""
        if self._items is None or self._items[0] != texts:
            counts = self.counter(texts)
            weighed = self._weighted(counts)
            having = valued(weighed, np.ones(weighed.nnz))
            self._items = texts, (_unit(weighed), having, valued(counts, saturated(counts, max(self.length, 1e-9))))
        return self._items[1]

    def tensors(self) -> dict[str, np.ndarray]:
        """All that `read_overlaps` needs."""
        kept = {"columns": self.columns, "rarity": self.rarity[self.columns].astype(np.float32)}
        kept["constants"] = np.array([self.unseen, self.length], np.float32)
        return {f"{self.sort}.{name}": of for name, of in kept.items()}

    def _keys(self, rows: Examples) -> np.ndarray:
        """A number for each row's pair of texts, int64 (N,)."""
        if "pair" in rows.slots:
            return np.asarray(rows.slots["pair"], np.int64)
        return np.asarray(rows.slots["query"], np.int64) << 32 | np.asarray(rows.slots["item"], np.int64)

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        return valued(counts, (1 + np.log(counts.data)) * self.rarity[counts.indices])


def overlaps_of(sort: str, texts: TextTable, rows: Examples) -> Overlaps:
    """Overlaps by the rarity of n-grams among the texts of some rows."""
    left, _, right, _ = _sides(texts, rows)
    counts = COUNTERS[sort](sorted({*left, *right}))
    having, every = np.bincount(counts.indices, minlength=counts.shape[1]), counts.shape[0]
    columns = np.flatnonzero(having)
    rarity = np.log(1 + (every - having[columns] + 0.5) / (having[columns] + 0.5))
    unseen, length = float(np.log(1 + (every + 0.5) / 0.5)), float(counts.sum() / every)
    return Overlaps(sort, texts, columns.astype(np.int32), rarity.astype(np.float32), unseen, length)


def read_overlaps(sort: str, tensors: Mapping[str, np.ndarray], texts: TextTable) -> Overlaps:
    """Overlaps that were kept as tensors. Raises KeyError or ValueError for what are none."""
    columns, rarity = read_columns(tensors, sort)
    unseen, length = map(float, stored(tensors, f"{sort}.constants", FLOATS, 2))
    if not length > 0:
        raise ValueError(f"{sort}: a length is above 0; found {length:g}")
    return Overlaps(sort, texts, columns, rarity, unseen, length)


def _unit(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    from sklearn.preprocessing import normalize

    return normalize(rows)


def _affordable(rows: Examples, texts: TextTable) -> Examples:
    """The rows, or every so many where their texts are too long in all."""
    left, _, right, _ = _sides(texts, rows)
    return rows.thinned(int(len(rows) * min(1, MOST_CHARACTERS / max(1, sum(map(len, chain(left, right)))))))


def _sides(texts: TextTable, rows: Examples) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Distinct query texts and each row's number among them (N,), then the same of the item texts."""
    if "pair" in rows.slots:
        pairs, row = np.unique(rows.slots["pair"], return_inverse=True)
        return [texts.texts[p] for p in pairs], row, [texts.pairs[p] or "" for p in pairs], row
    queries, query_row = np.unique(rows.slots["query"], return_inverse=True)
    items, item_row = np.unique(rows.slots["item"], return_inverse=True)
    return [texts.texts[q] for q in queries], query_row, [texts.texts[i] for i in items], item_row
