"""Weights of known scores: those of the least loss by a grid, over a sample of a catalogue too."""

from dataclasses import replace

import numpy as np
import pytest
from columns import rows

from peftrec.data.catalogue import Catalogue
from peftrec.data.matches import matches_of
from peftrec.tasks.priors import blend
from peftrec.tasks.priors.blend import fit_weights, loss_of, told_apart

RANDOM = np.random.default_rng(0)
N, SIZE = 200, 30
QUERY, ITEM = np.arange(N) // 2, RANDOM.integers(0, SIZE, N)


def examples():
    slots = {"query": QUERY + SIZE, "item": ITEM}
    found = rows(np.ones(N, np.float32), QUERY, ITEM, None, slots)
    return replace(found, catalogue=Catalogue(np.arange(SIZE, dtype=np.int32)), matches=matches_of(QUERY, ITEM, N // 2))


def column(strength, candidates):
    """Scores of own item and candidates, of which the own's are higher by `strength` in the mean."""
    every = np.random.default_rng(int(10 * strength) + 1).normal(size=(N, SIZE)).astype(np.float32)
    every[np.arange(N), ITEM] += strength
    return np.concatenate([every[np.arange(N), ITEM][:, None], every[:, candidates]], 1)


def by_hand(weights, columns):
    """-log of the softmax over the catalogue without other matches, row by row."""
    total = 0.0
    for n in range(N):
        others = {int(ITEM[m]) for m in range(N) if QUERY[m] == QUERY[n]} - {int(ITEM[n])}
        score = sum(w * c[n, 1:].astype(np.float64) for w, c in zip(weights, columns, strict=True))
        kept = [i for i in range(SIZE) if i not in others]
        total += np.log(np.exp(score[kept]).sum()) - score[ITEM[n]]
    return total / N


def test_the_weights_are_those_of_the_least_loss():
    told = told_apart(examples())
    columns = [column(2.0, np.arange(SIZE)), column(1.0, np.arange(SIZE))]
    found = fit_weights(columns, told)
    assert loss_of(found, columns, told) == pytest.approx(by_hand(found, columns), rel=1e-5)
    grid = [(a, b) for a in np.linspace(0, 3, 16) for b in np.linspace(0, 3, 16)]
    assert loss_of(found, columns, told) <= min(loss_of(np.array(of), columns, told) for of in grid) + 1e-6
    assert found[0] > found[1] > 0.3


def test_what_says_the_opposite_has_no_weight():
    told = told_apart(examples())
    assert fit_weights([column(2.0, np.arange(SIZE)), -column(1.0, np.arange(SIZE))], told)[1] == 0


def test_of_a_large_catalogue_a_sample_stands_for_the_whole(monkeypatch):
    columns = [column(2.0, np.arange(SIZE))]
    monkeypatch.setattr(blend, "ITEMS", SIZE // 2)
    told = told_apart(examples())
    assert (
        len(told.rows.candidates) == SIZE // 2
        and told.rows.candidates.tolist() == told_apart(examples()).rows.candidates.tolist()
    )
    sampled = [column(2.0, told.rows.candidates)]
    assert loss_of(np.ones(1), sampled, told) == pytest.approx(by_hand([1], columns), abs=0.1)


def test_of_more_rows_every_so_many(monkeypatch):
    monkeypatch.setattr(blend, "PAIRS", 50 * SIZE)
    assert len(told_apart(examples()).rows) == 50
