"""The largest of many scores as sorting has them, and maximal marginal relevance as its definition has it."""

import numpy as np
import pytest

from peftrec.serving import best as module
from peftrec.serving.best import best, diverse


@pytest.mark.parametrize("size", [1, 7, 1000, 20_000])
@pytest.mark.parametrize("k", [1, 3, 10, 700])
@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_the_best_are_the_first_of_all_sorted(monkeypatch, size, k, levels):
    monkeypatch.setattr(module, "PART", 64)
    random = np.random.default_rng(size + k)
    scores = random.integers(0, levels, size).astype(np.float32)
    scores[random.random(size) < 0.3] = -np.inf
    order = [n for n in sorted(range(size), key=lambda n: (-scores[n], n)) if scores[n] > -np.inf]
    assert best(scores, k).tolist() == order[:k]


def test_of_nothing_there_is_no_best():
    assert best(np.full(5, -np.inf), 3).tolist() == []
    assert best(np.zeros(0), 3).tolist() == []
    few = np.full(10_000, -np.inf)
    few[[9_999, 3]] = 1, 2
    assert best(few, 3).tolist() == [3, 9_999]


def by_hand(scores, vectors, k, diversity):
    """Carbonell and Goldstein's definition, pair by pair."""
    centre = [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    apart = [[value - middle for value, middle in zip(vector, centre, strict=True)] for vector in vectors]

    def cosine(one, other):
        size = sum(a * a for a in one) ** 0.5 * sum(b * b for b in other) ** 0.5
        return sum(a * b for a, b in zip(one, other, strict=True)) / size

    worth = [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]
    taken = [max(range(len(scores)), key=lambda n: worth[n])]
    while len(taken) < min(k, len(scores)):
        rest = [n for n in range(len(scores)) if n not in taken]
        marginal = {
            n: (1 - diversity) * worth[n] - diversity * max(cosine(apart[n], apart[of]) for of in taken) for n in rest
        }
        taken.append(max(rest, key=lambda n: marginal[n]))
    return taken


@pytest.mark.parametrize("diversity", [0, 0.1, 0.3, 0.7, 1])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_diverse_is_maximal_marginal_relevance(k, diversity):
    random = np.random.default_rng(k)
    scores, vectors = -np.sort(random.normal(size=25)), random.normal(size=(25, 4)) + 3
    found = diverse(scores.astype(np.float32), vectors.astype(np.float32), k, diversity)
    assert found.tolist() == by_hand(scores.tolist(), vectors.tolist(), k, diversity)
    assert len(set(found.tolist())) == min(k, 25)


def test_two_alike_do_not_follow_each_other():
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [-1, -1]], np.float32)
    scores = np.array([1, 0.99, 0.8, 0.1], np.float32)
    assert diverse(scores, vectors, 3, 0).tolist() == [0, 1, 2]
    assert diverse(scores, vectors, 3, 0.5).tolist() == [0, 2, 3] == by_hand(scores, vectors, 3, 0.5)


def test_of_equal_scores_and_of_none():
    assert diverse(np.ones(3), np.ones((3, 2)), 2, 0.5).tolist() == [0, 1]
    assert diverse(np.zeros(0), np.zeros((0, 2)), 2, 0.5).tolist() == []
    assert diverse(np.array([2.0]), np.ones((1, 2)), 2, 1).tolist() == [0]
