"""The priors `cosine` and `bm25` of matches, and both together: scores by hand, and which take part."""

import numpy as np
import pytest
from asked import catalogue_of_words, vectors_of
from columns import chinese

from peftrec.data.texts import TextTable
from peftrec.tasks.priors import RANKING_PRIORS
from peftrec.tasks.priors import catalogue as module
from peftrec.tasks.priors.bm25 import Bm25
from peftrec.tasks.priors.catalogue import choose_blend, choose_bm25, choose_cosine, sorts_of


def test_cosine_and_bm25_rank_as_they_are_defined():
    dataset = catalogue_of_words()
    vectors, test = vectors_of(dataset, 1.0), dataset.tasks["task"].test
    cosine = RANKING_PRIORS["cosine"](dataset, "task", test, vectors=vectors)
    query, item = vectors(test.slots["query"]), vectors(dataset.items["items"].rows)
    expected = (query / np.linalg.norm(query, axis=1, keepdims=True)) @ (item / np.linalg.norm(item, axis=1)[:, None]).T
    weight = choose_cosine(dataset, "task", vectors).cosine
    assert weight > 1 and cosine == pytest.approx(weight * expected, abs=1e-4)

    found = RANKING_PRIORS["bm25"](dataset, "task", test)
    chosen, _ = choose_bm25(dataset, "task")
    texts = dataset.texts.texts
    bm25 = Bm25(module.COUNTERS[chosen.sort], [texts[row] for row in dataset.items["items"].rows])
    expected = (bm25.asked([texts[row] for row in test.slots["query"]]) @ bm25.texts.T).toarray()
    assert chosen.lexical > 1 and found == pytest.approx(chosen.lexical * expected, abs=1e-4)
    assert (found.argmax(1) == test.item).mean() > 0.4


def test_both_together_are_no_worse_than_either_on_validation_rows():
    dataset = catalogue_of_words()
    vectors = vectors_of(dataset, 1.5)
    both, cosine, (lexical, _) = (
        choose_blend(dataset, "task", vectors),
        choose_cosine(dataset, "task", vectors),
        choose_bm25(dataset, "task"),
    )
    assert both.loss < min(cosine.loss, lexical.loss) - 0.05 and both.cosine > 0 and both.lexical > 0


def test_what_says_nothing_takes_little_part():
    shared, apart = catalogue_of_words(), catalogue_of_words(shared=False)
    random = np.random.default_rng(2).normal(size=(1000, 16)).astype(np.float32)
    found = choose_blend(shared, "task", lambda of: random[of])
    assert found.lexical > 5 and found.cosine < 2
    found = choose_blend(apart, "task", vectors_of(apart, 0.5))
    alone = choose_cosine(apart, "task", vectors_of(apart, 0.5))
    assert found.loss <= alone.loss
    assert choose_blend(catalogue_of_words(), "task", None).cosine == 0


def test_of_a_large_catalogue_what_its_language_writes_is_counted(monkeypatch):
    dataset = catalogue_of_words()
    of = dataset.texts, dataset.items["items"].rows
    assert sorts_of(*of) == ["words", "short runs", "long runs"]
    monkeypatch.setattr(module, "CHARACTERS", 100)
    assert sorts_of(*of) == ["words"]
    assert choose_bm25(catalogue_of_words(), "task")[0].sort == "words"
    texts = TextTable()
    rows = np.array([texts.add(chinese(np.random.default_rng(n), 30)) for n in range(9)])
    assert sorts_of(texts, rows) == ["short runs"]
