"""Rivals: places of both rankings by brute force, never a known match, the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from asked import catalogue_of_words, vectors_of

from peftrec.data.matches import matches_of
from peftrec.tasks import rivals as module
from peftrec.tasks.priors.catalogue import choose_bm25
from peftrec.tasks.rivals import LAST, SKIPPED, with_rivals


def dataset_with_more():
    """Each query of the train rows matches another item too."""
    dataset = catalogue_of_words()
    data = dataset.tasks["task"]
    train = data.train
    more = replace(train, item=(train.item + 7) % 40)
    both = train.take(np.tile(np.arange(len(train)), 2))
    item = np.concatenate([train.item, more.item])
    both = replace(
        both,
        item=item,
        slots={**both.slots, "item": dataset.items["items"].rows[item]},
        matches=matches_of(both.group, item, 120),
    )
    return replace(dataset, tasks={"task": replace(data, train=both)})


def test_they_stand_behind_the_first_places_and_match_nothing():
    dataset = dataset_with_more()
    vectors, train = vectors_of(dataset, 1.0), dataset.tasks["task"].train
    found = with_rivals(dataset, "task", vectors)
    rivals, each = found.matches.rivals, LAST - SKIPPED
    assert rivals.shape == (120, 2 * each) and (rivals[60:] == -1).all()  # train rows have the first queries
    _, score = choose_bm25(dataset, "task")
    items = dataset.items["items"].rows
    unit = {row: vec / np.linalg.norm(vec) for row, vec in enumerate(vectors(np.arange(len(dataset.texts))))}
    for n in range(60):
        one = replace(train.take(np.array([n])), candidates=np.arange(40))
        known = {int(train.item[m]) for m in range(len(train)) if train.group[m] == train.group[n]}
        cosine = np.array([unit[int(one.slots["query"][0])] @ unit[int(row)] for row in items])
        for scores, own in ((score(one)[0, 1:], rivals[n, :each]), (cosine, rivals[n, each:])):
            order = sorted(set(range(40)) - known, key=lambda i, scores=scores: -scores[i])
            assert scores[own].tolist() == pytest.approx([scores[i] for i in order[SKIPPED:LAST]], abs=1e-5)
            assert len(set(own.tolist())) == each and not set(own.tolist()) & known
    assert (with_rivals(dataset, "task", vectors).matches.rivals == rivals).all()
    assert with_rivals(dataset, "task", None).matches.rivals.shape == (120, each)


def test_beyond_so_many_pairs_a_sample_is_looked_at(monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 60 * 30)
    monkeypatch.setattr(module, "FEWEST", 10)
    dataset = catalogue_of_words()
    found = with_rivals(dataset, "task", None).matches.rivals
    assert len(np.unique(found[found >= 0])) <= 30
    monkeypatch.setattr(module, "PAIRS", 20 * 10)
    found = with_rivals(catalogue_of_words(), "task", None).matches.rivals
    assert (found.max(1) >= 0).sum() == 20


def test_a_small_catalogue_has_fewer():
    assert module._places(np.array([[3.0, 1, 2, 9, 8, 7, 5]]))[0, :3].tolist() == [2, 1, -1]
    assert (module._places(np.array([[3.0, 1]])) == -1).all()
