"""The prior `lexical`: how far query and item share words and runs of characters."""

from itertools import chain

import numpy as np
from scipy import sparse

from peftrec.data.examples import Dataset, Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.bm25 import COUNTERS, LENGTH_SHARE, SATURATION
from peftrec.tasks.priors.choice import best, held_out, judge, learn, predicted, spread, thinned
from peftrec.tasks.priors.grams import Counter

SORTS = (("words",), ("short runs",), ("long runs",), ("words", "short runs"), ("words", "long runs"))
MOST_CHARACTERS = 8_000_000  # of the train rows' different texts
PAIRS_AT_ONCE = 4096


def lexical(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Grade probabilities (N, C) from what query and item share: logistic regression on three overlaps of each sort.

    The overlaps are the TF-IDF cosine, the TF-IDF share of the query that the item has, and BM25 as a share of what the
    query could get. The weights come from the train rows' texts; which sorts of n-grams, the validation rows choose.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, texts = dataset.tasks[task], dataset.texts
    fitted, check = held_out(data)
    fitted, whole = _affordable(fitted, texts), _affordable(data.train, texts)
    overlaps = {sort: Overlaps(counter, texts, whole) for sort, counter in COUNTERS.items()}
    columns = {sort: [of(rows) for rows in (fitted, check)] for sort, of in overlaps.items()}

    tried = []
    for sorts in SORTS:
        known, asked = (np.concatenate([columns[sort][part] for sort in sorts], 1) for part in (0, 1))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model = learn(model, known, fitted.label)
        scores = spread(model.decision_function(asked), model.classes_, len(data.classes))
        tried.append(judge((sorts, model), scores, check.label))
    chosen = best(tried)
    sorts, model = chosen.way
    if not len(data.valid):
        model = learn(model, np.concatenate([overlaps[sort](whole) for sort in sorts], 1), whole.label)
    asked = np.concatenate([overlaps[sort](examples) for sort in sorts], 1)
    return predicted(spread(model.decision_function(asked), model.classes_, len(data.classes)), chosen, data.train)


class Overlaps:
    """How far query and item share n-grams of one sort, weighted by how rare these are among the train rows' texts."""

    def __init__(self, counter: Counter, texts: TextTable, train: Examples) -> None:
        self.counter, self.texts = counter, texts
        left, _, right, _ = _sides(texts, train)
        counts = counter(sorted({*left, *right}))
        having = np.bincount(counts.indices, minlength=counts.shape[1])
        self.rarity = np.log(1 + (counts.shape[0] - having + 0.5) / (having + 0.5))
        self.length = float(counts.sum() / counts.shape[0])

    def __call__(self, rows: Examples) -> np.ndarray:
        """The three overlaps of each row, float64 (N, 3)."""
        left, left_row, right, right_row = _sides(self.texts, rows)
        query, item = self.counter(left), self.counter(right)
        queries, items = self._weighted(query), self._weighted(item)
        asked = self._of(query, self.rarity[query.indices])
        held = self._of(item, self._saturated(item))
        unit, having = _unit(items), self._of(items, np.ones(items.nnz))
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

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        return self._of(counts, (1 + np.log(counts.data)) * self.rarity[counts.indices])

    def _saturated(self, counts: sparse.csr_matrix) -> np.ndarray:
        length = np.repeat(np.asarray(counts.sum(1)).ravel(), np.diff(counts.indptr)) / max(self.length, 1e-9)
        return counts.data * (SATURATION + 1) / (counts.data + SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length))

    def _of(self, counts: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((values, counts.indices, counts.indptr), counts.shape)


def _unit(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    from sklearn.preprocessing import normalize

    return normalize(rows)


def _affordable(rows: Examples, texts: TextTable) -> Examples:
    """The rows, or every so many where their texts are too long in all."""
    left, _, right, _ = _sides(texts, rows)
    return thinned(rows, int(len(rows) * min(1, MOST_CHARACTERS / max(1, sum(map(len, chain(left, right)))))))


def _sides(texts: TextTable, rows: Examples) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Distinct query texts and each row's number among them (N,), then the same of the item texts."""
    if "pair" in rows.slots:
        pairs, row = np.unique(rows.slots["pair"], return_inverse=True)
        return [texts.texts[p] for p in pairs], row, [texts.pairs[p] or "" for p in pairs], row
    queries, query_row = np.unique(rows.slots["query"], return_inverse=True)
    items, item_row = np.unique(rows.slots["item"], return_inverse=True)
    return [texts.texts[q] for q in queries], query_row, [texts.texts[i] for i in items], item_row
