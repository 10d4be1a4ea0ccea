"""Pooling predictors: the weights of the least loss by a search over a grid; folds by group."""

import numpy as np
import pytest
from columns import rows
from scipy.special import log_softmax

from peftrec.tasks.priors.pool import UNSEEN, finite, out_of_fold, pooled

RANDOM = np.random.default_rng(0)


def loss(weights, scores, label):
    chances = log_softmax(sum(w * s for w, s in zip(weights, scores, strict=True)), axis=1)
    doubt = 1 / (len(label) + 2)
    own = chances[np.arange(len(label)), label]
    return -float(((1 - doubt) * own + doubt * chances.mean(1)).mean())


def test_the_weights_are_those_of_the_least_loss():
    label = RANDOM.integers(0, 3, 400)
    good = 2 * np.eye(3)[label] + RANDOM.normal(size=(400, 3))
    other = np.eye(3)[label] + RANDOM.normal(size=(400, 3))
    found = pooled([good, other], label, 3)
    grid = [(a, b) for a in np.linspace(0, 3, 31) for b in np.linspace(0, 3, 31)]
    best = min(loss(of, [good, other], label) for of in grid)
    assert loss(found, [good, other], label) <= best + 1e-6
    assert (found > 0.2).all()


def test_what_says_nothing_or_the_opposite_has_no_weight():
    label = RANDOM.integers(0, 2, 500)
    good = np.eye(2)[label] + 0.5 * RANDOM.normal(size=(500, 2))
    assert pooled([good, -good], label, 2)[1] == 0


def test_several_labels_and_numbers():
    label = (RANDOM.random((300, 4)) < 0.3).astype(np.float32)
    good = 4 * label - 2 + RANDOM.normal(size=label.shape)
    weights = pooled([good, RANDOM.normal(size=label.shape)], label, 4)
    assert weights[0] > 0.5 and weights[1] < 0.2
    numbers = RANDOM.normal(size=300)
    assert pooled([numbers / 2, RANDOM.normal(size=300)], numbers, 0) == pytest.approx([2, 0], abs=1e-9)


def test_a_class_never_seen_is_less_likely_than_the_least_likely_one():
    found = finite(np.array([[1.0, -np.inf, -2.0], [0.0, -np.inf, 3.0]]))
    assert found.tolist() == [[1, -2 - UNSEEN, -2], [0, -UNSEEN, 3]]


@pytest.mark.parametrize("groups", [40, 3, 1])
def test_no_row_is_predicted_by_what_saw_it(groups):
    group = np.arange(80) % groups
    examples = rows(np.arange(80), group, np.arange(80), None)
    seen: list[tuple[set, set]] = []

    def fit(train):
        def predict(of):
            seen.append((set(train.item.tolist()), set(of.item.tolist())))
            return of.item.astype(np.float32)

        return predict

    assert out_of_fold(examples, 0, fit).tolist() == list(range(80))
    for train, held in seen:
        assert not train & held and len(train | held) == 80
        if groups == 40:  # whole groups are held out
            assert not {n % 40 for n in train} & {n % 40 for n in held}
