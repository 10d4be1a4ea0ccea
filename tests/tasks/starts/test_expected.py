"""What the text of an item lets expect, and likeness to what the user met."""

import numpy as np
import pytest
from eventful import build, make
from sklearn.linear_model import Ridge

from peftrec.tasks.starts.expected import FOLDS, MOST_PAIRS, PENALTIES, cosines, distinct, fit_expected, likeness

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize(("size", "most"), [(0, 1), (1, 1), (1, 1000), (500, 20), (20, 5000)])
def testdistinct_numbers_are_those_of_sorting(size, most):
    numbers = np.random.default_rng(size).integers(0, most, size)
    for found, expected in zip(distinct(numbers), np.unique(numbers, return_inverse=True), strict=True):
        assert found.tolist() == expected.tolist()


def test_a_table_ofcosines_and_each_row_s_own_are_the_same(monkeypatch):
    unit, own, earlier = RANDOM.normal(size=(9, 4)), RANDOM.integers(0, 9, 30), RANDOM.integers(0, 9, (30, 3))
    by_table = cosines(unit, own, earlier)
    assert MOST_PAIRS > 81
    monkeypatch.setattr("peftrec.tasks.starts.expected.MOST_PAIRS", 0)
    assert cosines(unit, own, earlier) == pytest.approx(by_table)
    assert by_table[4, 2] == pytest.approx(unit[own[4]] @ unit[earlier[4, 2]])


def told(vectors, seed=2):
    """What is fitted to items that differ at random, each with a text of its own."""
    random = np.random.default_rng(seed)
    worth, rows = random.normal(size=6), []
    for n in range(400):
        item = int(random.integers(6))
        rows.append((int(random.integers(4)), item, n, 3 + int(np.sign(worth[item] + 0.5 * random.normal()))))
    train = build("interest", make(rows), threshold=3).train
    return train, fit_expected(train, train.label.astype(np.float64), vectors)


def test_train_rows_do_not_know_what_their_own_item_s_text_was_fitted_to():
    """Vectors that are random tell nothing of other items; the train rows must not seem to be told."""
    held = RANDOM.normal(size=(12, 6)).astype(np.float32)
    train, expected = told(lambda rows: held[rows])
    unit = expected.unit(held).__getitem__
    as_train = expected.of_items(train, unit)
    as_new = expected.of_texts(train.slots["item"], unit)
    of_no_fold = expected.of_items(train.take(np.arange(9)), unit)
    assert np.array_equal(of_no_fold, as_train[:9])
    seen = [np.corrcoef(of, train.label)[0, 1] for of in (as_train, as_new)]
    assert seen[0] + 0.1 < seen[1]


def test_it_is_ridge_regression_of_items_means_by_folds():
    held = RANDOM.normal(size=(12, 6)).astype(np.float32)
    train, expected = told(lambda rows: held[rows])
    texts = np.unique(train.slots["item"])
    counts = np.array([(train.slots["item"] == of).sum() for of in texts])
    means = np.array([(train.label[train.slots["item"] == of] - train.rates.base).sum() for of in texts]) / (counts + 5)
    unit = held[texts] - held[texts].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    fold, weight, found = np.random.default_rng(0).permutation(len(texts)) % FOLDS, counts / (counts + 5), {}
    for penalty in PENALTIES:
        found[penalty] = np.zeros(len(texts))
        for n in range(len(texts)):
            rest = fold != fold[n]
            model = Ridge(alpha=penalty, fit_intercept=False).fit(unit[rest], means[rest], weight[rest])
            found[penalty][n] = unit[n] @ model.coef_
    best = min(PENALTIES, key=lambda of: float((weight * (found[of] - means) ** 2).sum()))
    assert expected.others[texts] == pytest.approx(found[best], abs=1e-4)
    whole = Ridge(alpha=best, fit_intercept=False).fit(unit, means, weight).coef_
    assert expected.weight == pytest.approx(whole, abs=1e-4)


def test_likeness_is_a_cosine_and_none_where_nothing_was_met():
    held = RANDOM.normal(size=(12, 6)).astype(np.float32)
    train, expected = told(lambda rows: held[rows])
    past = train.take(np.arange(5)).history().rows
    found = likeness(train.take(np.arange(5)), past, lambda rows: expected.unit(held[rows]))
    unit = expected.unit(held)
    for n, place in np.ndindex(past.shape):
        own = unit[train.slots["item"][n]] @ unit[past[n, place]] if past[n, place] >= 0 else 0
        assert found[n, place] == pytest.approx(own, abs=1e-6)
