"""The start of matches: BM25 beside the head's cosine, kept as three values."""

from dataclasses import replace

import numpy as np
import pytest
from asked import catalogue_of_words, vectors_of
from kept import asked_of

from peftrec.recipe import TaskConfig
from peftrec.tasks.priors import RANKING_PRIORS
from peftrec.tasks.starts.matches import MatchStart, fit, load

CONFIG = TaskConfig(kind="match-query")


def test_it_is_bm25_with_the_rows_own_catalogue_and_the_same_when_it_is_read_again():
    dataset = catalogue_of_words()
    start = fit(dataset, "task", CONFIG, vectors_of(dataset, 1.0)).start
    assert start.name == "cosine + bm25" and start.scale > 1
    test = dataset.tasks["task"].test
    every = replace(test, candidates=np.arange(40))
    shared = RANKING_PRIORS["bm25"](dataset, "task", test)
    found = start(every)
    assert found.shape == (40, 41) and found.dtype == np.float32
    chosen = dataset.tasks["task"].fitted["choose_bm25"][0]
    if chosen.sort == start.sort:
        assert found[:, 1:] == pytest.approx(shared * start.lexical / chosen.lexical, rel=1e-4)
    assert found[np.arange(40), 1 + test.item] == pytest.approx(found[:, 0], abs=1e-4)
    assert start(test) == pytest.approx(found[:, :1])
    again = load(start.settings(), start.tensors(), asked_of(dataset))
    assert again(every) == pytest.approx(found, abs=1e-6) and again.scale == start.scale


def test_without_vectors_there_is_bm25_alone_and_without_shared_words_the_cosine():
    dataset = catalogue_of_words()
    start = fit(dataset, "task", CONFIG, None).start
    assert start.scale is None and start.lexical > 0
    nothing = MatchStart(9.0, 0.0, "words", dataset.texts)
    assert nothing.name == "cosine"
    test = replace(dataset.tasks["task"].test, candidates=np.arange(3))
    assert nothing(test).shape == (40, 4) and not nothing(test).any()


@pytest.mark.parametrize(
    "wrong",
    [{"sort": "letters"}, {"sort": ["words"]}, {"scale": "nan"}, {"scale": -1}, {"lexical": -1.0}, {"lexical": True}],
)
def test_what_is_none_is_refused(wrong):
    known = {"scale": 10.0, "lexical": 5.0, "sort": "words"}
    assert load(known, {}, asked_of(catalogue_of_words())).lexical == 5
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load(known | wrong, {}, asked_of(catalogue_of_words()))
