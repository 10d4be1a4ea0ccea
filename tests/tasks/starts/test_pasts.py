"""What a user's past says of an item, by plain loops over the events."""

import numpy as np
import pytest
from eventful import build, make, parts

from peftrec.data.neighbours import Neighbours
from peftrec.tasks.starts import pasts
from peftrec.tasks.starts.pasts import DOUBT, SHARPNESS, Alike, Past, akin, fit_received, past_of, together

RANDOM = np.random.default_rng(3)
ROWS = [(int(RANDOM.integers(4)), int(RANDOM.integers(6)), int(RANDOM.integers(300)), int(RANDOM.integers(1, 6)))
        for _ in range(90)]  # fmt: skip
BORROWED = 5


def likes(rows=ROWS, **task):
    return build("interest", make(rows), threshold=3, **task)


def by_hand(user, time, base, worth, most=200):
    """(item, what is left of the feedback) of a user's newest events before a time, and the mean of that."""
    past = sorted((of for of in ROWS if of[0] == user and of[2] < time), key=lambda of: of[2])[-most:]
    left = []
    for _, item, then, rating in past:
        before = [of[3] >= 3 for of in ROWS if of[1] == item and of[2] < then]
        rate = (sum(before) + BORROWED * (base + worth[item])) / (len(before) + BORROWED)
        left.append((rating >= 3) - rate)
    leaning = sum(left) / (len(left) + BORROWED)
    return [of[1] for of in past], [of - leaning for of in left], leaning


@pytest.mark.parametrize("most", [200, 4])
def test_what_is_left_is_what_loops_find(most, monkeypatch):
    monkeypatch.setattr(pasts, "PAST", most)
    data, worth = likes(), np.linspace(-0.2, 0.3, 6)
    worth[4] = worth[0]  # they share a text
    of_text = np.zeros(9)
    for rows in parts(data).values():
        of_text[rows.slots["item"]] = worth[rows.item]
    base = data.train.rates.base
    for rows in parts(data).values():
        found = past_of(rows, lambda texts: of_text[texts])
        for n in range(len(rows)):
            items, left, leaning = by_hand(rows.users[n], rows.time[n], base, worth, most)
            here = found.present[n]
            assert sorted(found.items[n][here].tolist()) == sorted(items)  # of one moment in any order
            assert sorted(found.left[n][here].tolist()) == pytest.approx(sorted(left), abs=1e-6)
            assert found.leaning[n] == pytest.approx(leaning, abs=1e-6)
            assert not found.left[n][~here].any() and (found.rows[n][~here] == -1).all()


def test_without_texts_items_are_expected_alike():
    rows = likes().test
    found = past_of(rows, None)
    for n in range(len(rows)):
        assert found.leaning[n] == pytest.approx(by_hand(rows.users[n], rows.time[n], rows.rates.base, np.zeros(6))[2])


def test_weights_of_texts_and_of_items_received_alike():
    rows = likes().test
    past = past_of(rows, None)
    cosine = RANDOM.uniform(-1, 1, past.present.shape)
    near = Neighbours(RANDOM.permuted(np.tile(np.arange(5), (5, 1)), axis=1).astype(np.int32)[:, :3],
                      RANDOM.random((5, 3)).astype(np.float32))  # fmt: skip
    by_texts, by_items, met_some = akin(past, cosine), together(past, rows.item, near), 0
    for n in range(len(rows)):
        items = by_hand(rows.users[n], rows.time[n], rows.rates.base, np.zeros(6))[0]
        events = list(zip(past.items[n][past.present[n]].tolist(), past.left[n][past.present[n]], strict=True))
        weight = cosine[n][past.present[n]].clip(0) ** SHARPNESS
        assert by_texts[n] == pytest.approx((weight @ past.left[n][past.present[n]]) / (weight.sum() + DOUBT))
        weights = [
            sum(float(w) for other, w in zip(near.items[of], near.weights[of], strict=True) if other == rows.item[n])
            if of < 5 else 0.0
            for of, _ in events
        ]  # fmt: skip
        said = sum(w * of for w, (_, of) in zip(weights, events, strict=True)) / (sum(weights) + DOUBT)
        met = rows.item[n] in items
        met_some += met
        assert by_items[n] == pytest.approx(0 if met or rows.item[n] == 5 else said, abs=1e-6)
    assert met_some > 0


def test_several_items_of_one_past_are_told_what_each_is_told_alone():
    items = RANDOM.permuted(np.tile(np.arange(8), (4, 1)), axis=1)[:, :3].astype(np.int32)
    present = np.ones(items.shape, bool)
    past = Past(present, items, items, np.zeros(4), RANDOM.normal(size=items.shape))
    near = Neighbours(RANDOM.integers(0, 8, (8, 3)).astype(np.int32), RANDOM.random((8, 3)).astype(np.float32))
    each, asked = np.repeat(np.arange(4), 8), np.tile(np.arange(8), 4)
    alone = [together(past.take(np.array([n])), np.array([item]), near)[0] for n, item in zip(each, asked, strict=True)]
    assert together(past.take(each), asked, near) == pytest.approx(alone, abs=1e-6)
    assert np.count_nonzero(alone) > 5


def test_train_rows_are_told_nothing_by_their_own_users():
    """As many tastes as users, each its own: others tell nothing of them."""
    rows = [(u, i, 7 * n, 1 + 4 * int(RANDOM.integers(2))) for n, (u, i) in enumerate(np.ndindex(40, 6)) if u != i]
    data = build("interest", make(rows, users=40), threshold=3, split={"kind": "random", "test": 0.1, "valid": 0.1})
    train = data.train
    alike = fit_received(train, train.label.astype(np.float64))
    assert set(np.unique(train.fold)) == {0, 1, 2, 3} and (data.valid.fold == -1).all()
    past = past_of(train, None)
    found = alike.together(train, past)
    for fold in range(4):
        some = np.flatnonzero(train.fold == fold)
        others = train.take(np.flatnonzero(train.fold != fold))
        near = fit_received(others, others.label.astype(np.float64)).whole
        assert found[some] == pytest.approx(together(past.take(some), train.item[some], near), abs=0.2)
    loaded = Alike(alike.whole)
    assert not np.array_equal(found, loaded.together(train, past))
    told = [np.corrcoef(of, train.label)[0, 1] for of in (found, loaded.together(train, past))]
    assert told[0] < told[1]
