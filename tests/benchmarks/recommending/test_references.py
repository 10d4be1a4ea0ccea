"""References against what is computed otherwise, on a small log."""

import numpy as np
import pytest

from benchmarks.recommending.references import ALS, BPR, EASE, ItemKNN, OwnFrequency, Popularity, ranked


def dense(known):
    train = known.train
    found = np.zeros(known.chosen.shape)
    found[np.asarray(train.users), np.asarray(train.item)] = 1
    return found


def summed(pasts, fade):
    found = np.zeros((len(pasts), 20))
    for row, past in enumerate(pasts):
        for back, item in enumerate(reversed(past), 1):
            found[row, item] += back**-fade
    return found


def test_what_is_chosen_is_that_of_train_rows(known):
    assert (known.chosen.toarray() == dense(known)).all()
    assert known.popular.max() == 1 and known.popular.sum() == pytest.approx(
        len(known.train) / np.bincount(known.train.item).max()
    )


def test_ease_is_its_closed_form(known, pasts):
    test = known.dataset.tasks["next"].test
    x = dense(known)[:, known.popular > 0]
    inverse = np.linalg.inv(x.T @ x + 30 * np.eye(x.shape[1]))
    weights = np.eye(x.shape[1]) - inverse @ np.diag(1 / np.diag(inverse))
    expected = summed(pasts, 0.5)[:, known.popular > 0] @ weights
    assert EASE(known, 0, strength=30, fade=0.5).scores(test)[:, known.popular > 0] == pytest.approx(expected)


def test_neighbours_are_by_cosine(known, pasts):
    pytest.importorskip("implicit")
    test, x = known.dataset.tasks["next"].test, dense(known)
    unit = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    expected = summed(pasts, 0.0) @ (unit.T @ unit)
    assert ItemKNN(known, 0, neighbours=100, fade=0.0).scores(test) == pytest.approx(expected, abs=1e-5)


def test_popularity_is_counted_as_it_stood(known):
    test = known.dataset.tasks["next"].test
    found = Popularity(known, 0, days=2).scores(test)
    for n in (0, len(test) - 1):
        since = (known.log.times < test.time[n]) & (known.log.times >= test.time[n] - 2 * 86_400)
        assert (found[n] == np.bincount(known.log.items[since], minlength=20)).all()


def test_own_frequency_is_the_past_and_popularity_decides_between_equals(known, pasts):
    test = known.dataset.tasks["next"].test
    own = OwnFrequency(known, 0, fade=0.0)
    assert own.scores(test) == pytest.approx(summed(pasts, 0.0))
    scores = own.ranker("next", np.arange(20))(test)
    absent = np.flatnonzero(summed(pasts, 0.0)[0] == 0)
    assert absent[scores[0, absent].argmax()] == absent[known.popular[absent].argmax()]


@pytest.mark.parametrize("make", [ALS, BPR])
def test_factors_are_the_same_with_the_same_seed(known, make):
    pytest.importorskip("implicit")
    test = known.dataset.tasks["next"].test
    constants = {name: rungs[1] for name, rungs in make.ladders.items()}
    one, two, other = (make(known, seed, **constants).scores(test) for seed in (0, 0, 1))
    assert one.shape == (len(test), 20) and np.isfinite(one).all()
    assert (one == two).all() and (one != other).any()


def test_ranks_are_those_of_the_scores(known, pasts, monkeypatch):
    data = known.dataset.tasks["next"]
    scorer = OwnFrequency(known, 0, fade=0.0)
    scores = np.random.default_rng(0).normal(size=(len(data.test), 20))
    monkeypatch.setattr(scorer, "scores", lambda rows: scores)
    value, outcome = ranked(scorer, known.dataset, "test")
    own = scores[np.arange(len(scores)), data.test.item]
    out = summed(pasts, 0.0) > 0
    out[np.arange(len(scores)), data.test.item] = False
    expected = 1 + ((scores > own[:, None]) & ~out).sum(1)
    assert outcome.rank == pytest.approx(expected)
    assert value == pytest.approx(np.where(expected <= 10, 1 / np.log2(1 + expected), 0).mean())
