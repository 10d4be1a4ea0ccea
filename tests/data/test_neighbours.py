"""Which items go together: EASE and cosines as dense matrices have them, and what pasts say by them."""

import numpy as np
import pytest

import peftrec.data.neighbours as neighbours
from peftrec.data.neighbours import Neighbours, fit_alike, fit_neighbours, fit_texts, left_of

USERS, ITEMS = 60, 24


def choices(seed=0, count=400):
    """Who chose what, users in order, with some choices made twice; the last item is never chosen."""
    random = np.random.default_rng(seed)
    users, items = np.sort(random.integers(0, USERS, count)), random.integers(0, ITEMS - 1, count)
    matrix = np.zeros((USERS, ITEMS))
    matrix[users, items] = 1
    return users, items, matrix


def dense(near, size=ITEMS):
    """Neighbours as a matrix (I, I)."""
    found = np.zeros((size, size))
    for item in range(size):
        for other, weight in zip(near.items[item], near.weights[item], strict=True):
            found[item, other] += weight
    return found


def test_ease_is_its_closed_form():
    users, items, matrix = choices()
    inverse = np.linalg.inv(matrix.T @ matrix + neighbours.STRENGTH * np.eye(ITEMS))
    exact = -inverse / np.diag(inverse)
    np.fill_diagonal(exact, 0)
    exact = np.maximum(exact, 0)
    assert dense(fit_neighbours(users, items, ITEMS)) == pytest.approx(exact / exact[exact > 0].mean(), abs=1e-4)


def test_of_ease_the_nearest_are_kept(monkeypatch):
    users, items, _ = choices()
    every = dense(fit_neighbours(users, items, ITEMS))
    monkeypatch.setattr(neighbours, "KEPT", 5)
    few = fit_neighbours(users, items, ITEMS)
    assert few.items.shape == (ITEMS, 5) and few.items.dtype == np.int32 and few.weights.dtype == np.float32
    found = dense(few)
    for item in range(ITEMS):
        nearest = np.argsort(-every[item])[:5]
        assert set(np.flatnonzero(found[item])) == {other for other in nearest.tolist() if every[item, other] > 0}
        assert found[item, nearest] / found.max() == pytest.approx(every[item, nearest] / found.max(), rel=0.5)


def test_cosines_are_of_items_chosen_together_twice_or_more(monkeypatch):
    monkeypatch.setattr(neighbours, "EASE_COVERS", 2)  # never enough
    monkeypatch.setattr(neighbours, "AT_ONCE", 90)  # several blocks of items
    users, items, matrix = choices(count=300)
    both = matrix.T @ matrix
    root = np.sqrt(np.maximum(np.diag(both), 1))
    exact = np.where(both >= 2, both, 0) / np.outer(root, root)
    np.fill_diagonal(exact, 0)
    assert (exact > 0).any() and ((both == 1) & (exact == 0)).any()
    assert dense(fit_neighbours(users, items, ITEMS)) == pytest.approx(exact / exact[exact > 0].mean(), abs=1e-5)


def test_rare_items_go_with_nothing_and_nothing_is_no_error():
    near = fit_neighbours(np.array([0, 0, 1]), np.array([0, 1, 0]), 3)
    assert not near.weights[1:].any()  # items 1 and 2 were chosen once, and never
    nothing = fit_neighbours(np.zeros(0, int), np.zeros(0, int), 4)
    assert nothing.items.shape[0] == 4 and not nothing.weights.any()


def test_of_a_long_past_the_newest_count_and_of_many_users_every_so_many(monkeypatch):
    monkeypatch.setattr(neighbours, "EACH", 2)
    old, new = [0, 0, 0], [1, 2]  # each of four users chose item 0 thrice, then 1 and 2
    users = np.repeat(np.arange(4), 5)
    near = dense(fit_neighbours(users, np.array((old + new) * 4), 3), 3)
    assert near[1, 2] > 0 and not near[0].any()
    monkeypatch.setattr(neighbours, "PAIRS", 8)  # of the 4 users with 4 pairs each, two
    counted = neighbours._chosen(users, np.array((old + new) * 4), 3)
    assert counted.toarray().tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_what_pasts_say_is_the_sum_over_their_events():
    random = np.random.default_rng(1)
    near = Neighbours(random.integers(0, 9, (9, 3)).astype(np.int32), random.random((9, 3)).astype(np.float32))
    row, item, weight = np.sort(random.integers(0, 6, 40)), random.integers(0, 9, 40), random.random(40)
    exact = np.zeros((7, 9))  # the last row has no past
    for of, at, counts in zip(row, item, weight, strict=True):
        for other, says in zip(near.items[at], near.weights[at], strict=True):
            exact[of, other] += counts * says
    assert near.scores(7, (row, item, weight), None) == pytest.approx(exact, rel=1e-5)
    assert near.log_scores(7, (row, item, weight), None) == pytest.approx(np.log1p(exact), rel=1e-5)
    some = np.array([7, 2, 5])
    assert near.scores(7, (row, item, weight), some) == pytest.approx(exact[:, some], rel=1e-5)
    assert near.scores(2, (row[:0], item[:0], weight[:0]), some).tolist() == [[0] * 3] * 2


def test_the_neighbours_of_some_items_are_those_that_they_weigh():
    near = Neighbours(np.array([[1, 2], [0, 0], [3, 1], [2, 0]]), np.array([[1, 0.5], [0, 0], [2, 0], [1, 1]]))
    assert near.beside(np.array([0, 2])).tolist() == [1, 2, 3]
    assert near.beside(np.array([1])).tolist() == []


@pytest.mark.parametrize("asked", [[], [7], [9, 3, 0], [*range(23, -1, -1)]])
def test_scores_of_some_items_are_those_among_all(asked):
    users, items, _ = choices()
    near = fit_neighbours(users, items, ITEMS)
    events = (np.array([0, 0, 2, 2, 2]), np.array([3, 9, 3, 23, 3]), np.array([1, 0.5, 2, 1, 1]))
    every, some = near.scores(3, events, None), near.scores(3, events, np.array(asked, np.int64))
    assert some.shape == (3, len(asked)) and some == pytest.approx(every[:, asked])
    assert every[0].any() and not every[1].any()
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert not near.scores(2, none, np.array(asked, np.int64)).any()


def test_items_received_alike_are_by_adjusted_cosine(monkeypatch):
    monkeypatch.setattr(neighbours, "AT_ONCE", 90)  # several blocks of items
    users, items, matrix = choices()
    left = np.random.default_rng(4).normal(size=len(users))
    rated = np.zeros((USERS, ITEMS))
    for user, item in {*zip(users.tolist(), items.tolist(), strict=True)}:
        rated[user, item] = left[(users == user) & (items == item)].mean()
    assert matrix.sum() < len(users)  # some choices were made twice
    square = (rated**2).sum(0) + neighbours.LENT * (rated**2).sum() / matrix.sum()
    exact = rated.T @ rated / np.sqrt(np.outer(square, square))
    np.fill_diagonal(exact, 0)
    found = fit_alike(users, items, left, ITEMS)
    assert dense(found) == pytest.approx(np.maximum(exact, 0), abs=1e-6)
    shuffled = np.random.default_rng(1).permutation(len(users))
    shuffled = shuffled[np.argsort(items[shuffled], kind="stable")]  # whatever the order of users
    assert dense(fit_alike(users[shuffled], items[shuffled], left[shuffled], ITEMS)) == pytest.approx(dense(found))


def test_what_is_left_of_ratings_is_beyond_user_and_item():
    users, items, _ = choices()
    random = np.random.default_rng(6)
    of_user, of_item, noise = random.normal(size=USERS), random.normal(size=ITEMS), random.normal(size=len(users))
    rating = 3 + of_user[users] + 2 * of_item[items] + 0.1 * noise
    left = left_of(users, items, rating)
    apart, user_mean = rating - rating.mean(), np.zeros(USERS)
    for _ in range(3):
        item_mean = [(apart - user_mean[users])[items == of].sum() / (5 + (items == of).sum()) for of in range(ITEMS)]
        rest = apart - np.array(item_mean)[items]
        user_mean = np.array([rest[users == of].sum() / (5 + (users == of).sum()) for of in range(USERS)])
    assert left == pytest.approx(apart - np.array(item_mean)[items] - user_mean[users])
    assert left.std() < 0.5 * rating.std()


def test_nothing_rated_and_ratings_all_the_same_are_no_error():
    none = np.zeros(0, int)
    assert fit_alike(none, none, np.zeros(0), 4).items.shape[0] == 4
    alike = fit_alike(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.zeros(4), 2)
    assert not alike.weights.any()


@pytest.mark.parametrize("count", [0, 5])
def test_where_nothing_goes_together_nothing_is_said_nor_printed(capfd, count):
    near = fit_neighbours(np.arange(count), np.arange(count), 5)
    assert near.weights.sum() == 0 and near.items.shape == near.weights.shape
    assert capfd.readouterr() == ("", "")


def test_texts_are_alike_by_the_fourth_power_of_their_cosine(monkeypatch):
    monkeypatch.setattr(neighbours, "AT_ONCE", 5 * ITEMS)  # several blocks of items
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 5)).astype(np.float32) + 3
    vectors[7] = vectors[3]  # one text of two items
    centred = vectors - vectors.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    exact = np.maximum(unit @ unit.T, 0) ** 4
    np.fill_diagonal(exact, 0)
    near = fit_texts(vectors)
    assert dense(near) == pytest.approx(exact / exact[exact > 0].mean(), rel=1e-3, abs=1e-3)
    assert dense(near)[3].argmax() == 7
    monkeypatch.setattr(neighbours, "KEPT", 2)
    found = dense(fit_texts(vectors))
    for item in range(ITEMS):
        assert set(np.flatnonzero(found[item])) == set(np.argsort(-exact[item])[:2].tolist())


def test_the_texts_of_one_item_or_of_items_all_alike_say_nothing():
    assert dense(fit_texts(np.ones((1, 4), np.float32)), 1).tolist() == [[0]]
    assert not dense(fit_texts(np.ones((3, 4), np.float32)), 3).any()
