"""Queries with matches alone, and a backbone that knows something of them, for the tests of what ranks a catalogue."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from columns import WORDS, rows

from peftrec.data.catalogue import Catalogue, ItemTexts
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.matches import matches_of
from peftrec.data.texts import TextTable

ITEMS, QUERIES = 40, 120


def catalogue_of_words(shared: bool = True) -> Dataset:
    """Items of six words; a query has two of its item's, or none where not `shared`."""
    random, texts = np.random.default_rng(0), TextTable()
    items = [" ".join(random.permutation(WORDS[:30])[:6]) for _ in range(ITEMS)]
    item = random.integers(0, ITEMS, QUERIES)
    queries = [
        " ".join([*(items[i].split()[n % 5 : n % 5 + 2] if shared else []), WORDS[30 + n % 10], f"x{n}"])
        for n, i in enumerate(item)
    ]
    item_rows = np.array([texts.add(text) for text in items], np.int32)
    slots = {"query": [texts.add(text) for text in queries], "item": item_rows[item]}
    every = rows(np.ones(QUERIES, np.float32), np.arange(QUERIES), item, None, slots)
    every = replace(every, catalogue=Catalogue(item_rows), matches=matches_of(np.arange(QUERIES), item, QUERIES))
    parts = (every.take(np.arange(a, b)) for a, b in ((0, 60), (60, 80), (80, QUERIES)))
    data = TaskData(*parts, items="items")
    names = [str(n) for n in range(ITEMS)]
    return Dataset(texts, {"items": ItemTexts(names, item_rows)}, [], {"task": data})


def vectors_of(dataset: Dataset, noise: float) -> Callable[[np.ndarray], np.ndarray]:
    """A backbone for which a query is its item and some noise."""
    random = np.random.default_rng(1)
    found = random.normal(size=(len(dataset.texts), 16)).astype(np.float32)
    for part in (dataset.tasks["task"].train, dataset.tasks["task"].valid, dataset.tasks["task"].test):
        query, item = part.slots["query"], part.slots["item"]
        found[query] = found[item] + noise * random.normal(size=(len(query), 16))
    return lambda of: found[of]
