"""Rivals: items that look like matches of a query and are none as far as is known, to tell its matches from.

They are those from the sixth to the twentieth place by the frozen cosine, and as many by BM25: the very first are too
often matches that nobody wrote down. Mined once, before the first step, for the queries of the train rows.
"""

from dataclasses import replace

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.tasks.priors.catalogue import choose_bm25, likeness
from peftrec.tasks.priors.vectors import Vectors

SKIPPED, LAST = 5, 20  # places of a ranking
PAIRS = 1 << 27  # of queries and items that are looked at: of more, every query sees a sample of the items
AT_ONCE = 1 << 22
FEWEST = 1000  # items of that sample; then only some queries have rivals


def with_rivals(dataset: Dataset, task: str, vectors: Vectors | None) -> Examples:
    """The task's train rows, whose matches know the rivals of each query. Without `vectors` BM25 alone finds them."""
    train = dataset.tasks[task].train
    matches, catalogue = train.matches, train.catalogue
    assert matches is not None and catalogue is not None
    _, first = np.unique(train.group, return_index=True)
    asked, size = train.take(first), len(catalogue)
    asked = asked.thinned(PAIRS // min(size, FEWEST))
    most = max(1, PAIRS // len(asked))
    items = np.arange(size) if size <= most else np.sort(np.random.default_rng(0).choice(size, most, replace=False))
    _, score = choose_bm25(dataset, task)
    each = LAST - SKIPPED
    found = np.full((len(matches.start) - 1, each * (1 if vectors is None else 2)), -1, np.int32)
    for block in asked.blocks(max(1, AT_ONCE // len(items))):
        some = replace(block, candidates=items)
        barred = some.barred()
        assert barred is not None
        scores = [score(some), *([] if vectors is None else [likeness(some, vectors)])]
        places = [_places(np.where(barred, -np.inf, of[:, 1:])) for of in scores]
        there = np.concatenate(places, 1)
        found[some.group, : there.shape[1]] = np.where(there < 0, -1, items[there])
    return replace(train, matches=replace(matches, rivals=found))


def _places(scores: np.ndarray) -> np.ndarray:
    """Positions of the columns at the places of a ranking (N, LAST - SKIPPED), best first, -1 for none."""
    count = min(LAST, scores.shape[1])
    top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    value = np.take_along_axis(scores, top, 1)
    order = np.lexsort((top, -value))[:, SKIPPED:]
    best = np.take_along_axis(top, order, 1)
    best[np.take_along_axis(value, order, 1) == -np.inf] = -1
    return np.pad(best, ((0, 0), (0, LAST - SKIPPED - best.shape[1])), constant_values=-1)
