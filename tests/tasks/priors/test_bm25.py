"""BM25 against the formula in plain Python, and what a catalogue's rows get of it."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from columns import chinese, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from peftrec.data.catalogue import Catalogue
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.bm25 import COUNTERS, Bm25, CatalogueBm25
from peftrec.tasks.priors.grams import words

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), min_size=1, max_size=8)


def naive(query: list[str], item: list[str], items: list[list[str]], k1=1.2, b=0.75) -> float:
    """Robertson and Zaragoza's sum, as a share of what the query could get at most."""
    mean = sum(map(len, items)) / len(items)
    total = most = 0.0
    for word, times in Counter(query).items():
        having = sum(word in other for other in items)
        rarity = math.log(1 + (len(items) - having + 0.5) / (having + 0.5))
        count = item.count(word)
        total += times * rarity * count * (k1 + 1) / (count + k1 * (1 - b + b * len(item) / mean))
        most += times * rarity * (k1 + 1)
    return total / most


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_it_is_the_formula(queries, items):
    bm25 = Bm25(words(1), [" ".join(item) for item in items])
    found = (bm25.asked([" ".join(query) for query in queries]) @ bm25.texts.T).toarray()
    expected = [[naive(query, item, items) for item in items] for query in queries]
    assert found == pytest.approx(np.array(expected), abs=1e-5)
    assert (bm25.offered([" ".join(item) for item in items]) != bm25.texts).nnz == 0


@pytest.mark.parametrize("remembered", [False, True])
def test_rows_get_that_of_their_own_item_and_of_every_candidate(remembered):
    random, texts = np.random.default_rng(0), TextTable()
    items = [list(random.choice(WORDS, 5)) for _ in range(6)]
    queries = [list(random.choice(WORDS, 2)) for _ in range(4)]
    item_rows = np.array([texts.add(" ".join(item)) for item in items], np.int32)
    query_rows = np.array([texts.add(" ".join(query)) for query in queries], np.int32)
    new = texts.add("fox fox gnu")
    score = CatalogueBm25("words", texts, Catalogue(item_rows))
    if remembered:
        score.remember(query_rows)
    item = np.array([0, 5, 3, 1])
    slots = {"query": query_rows[[2, 0, 0, 3]], "item": item_rows[item]}
    some = rows(np.ones(4), np.arange(4), item, None, slots)
    candidates = np.array([1, 4, 5])
    found = score(replace(some, catalogue=Catalogue(item_rows), candidates=candidates))
    for n, query in enumerate([2, 0, 0, 3]):
        expected = [naive(queries[query], items[i], items) for i in (item[n], *candidates)]
        assert found[n] == pytest.approx(expected, abs=1e-5)
    every = score(replace(some, catalogue=Catalogue(item_rows), candidates=np.arange(6)))
    assert every[:, 1:][:, candidates] == pytest.approx(found[:, 1:])
    assert score(some) == pytest.approx(found[:, :1])
    brought = replace(some, item=np.full(4, -1), slots={**some.slots, "item": np.full(4, new, np.int32)})
    expected = [[naive(queries[query], ["fox", "fox", "gnu"], items)] for query in (2, 0, 0, 3)]
    assert score(brought) == pytest.approx(np.array(expected), abs=1e-5)


def test_runs_of_characters_find_what_is_not_written_apart():
    random = np.random.default_rng(0)
    items = [chinese(random, 60) for _ in range(30)]
    queries = [item[9:15] for item in items]
    for sort, right in (("words", False), ("short runs", True)):
        bm25 = Bm25(COUNTERS[sort], items)
        best = (bm25.asked(queries) @ bm25.texts.T).toarray().argmax(1)
        assert ((best == np.arange(30)).mean() > 0.95) == right
