"""The baselines on a few rows whose right answer can be counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.card.baselines import Given, following, gaps, likes, matches, numbers, so_far

EVENTS = pd.DataFrame(
    [("a", "x", 1.0, 5.0), ("b", "x", 2.0, 1.0), ("a", "y", 3.0, 4.0), ("a", "x", 3.0, 2.0), ("b", "y", 4.0, 3.0)],
    columns=["user", "item", "time", "stars"],
)


def given(table, train, test, **more):
    """`test`: places, with what the run says of each."""
    rows = pd.DataFrame({"row": np.array(test) + 1, **more.pop("run", {})})
    return Given(table, more.pop("items", pd.DataFrame()), np.array(train), np.array([], int), rows, **more)


def test_what_was_before_is_strictly_earlier():
    total, count = so_far(EVENTS, "user", "stars")
    assert total.tolist() == [0, 0, 5, 5, 1] and count.tolist() == [0, 0, 1, 1, 1]  # a's two events of time 3 alike
    total, count = so_far(EVENTS, "item", "stars")
    assert total.tolist() == [0, 5, 0, 6, 4] and count.tolist() == [0, 1, 0, 2, 1]


def test_rows_that_are_not_the_run_s_end_the_measurement():
    of = given(EVENTS, [0, 1], [2, 3], run={"label": [4.0, 2.0], "group": ["a", "a"], "item": ["y", "x"]})
    of.check_ids()
    assert of.checked(EVENTS["stars"].to_numpy()).tolist() == [5, 1, 4, 2, 3]
    with pytest.raises(ValueError, match="2 of 2 test rows have another label"):
        of.checked(EVENTS["stars"].to_numpy() + 1)
    with pytest.raises(ValueError, match="other items than"):
        given(EVENTS, [0], [2, 3], run={"label": [4.0, 2.0], "group": ["a", "a"], "item": ["y", "y"]}).check_ids()


CATALOGUE = pd.DataFrame({"item": ["x", "y", "z", "w"], "text": ["", "", "", ""]})


def test_the_next_item_is_ranked_without_the_history():
    """x and y go together, w is the commonest: after x comes y by kNN, w by popularity."""
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", 2), *((u, "w", 1) for u in "cdef")]
    table = pd.DataFrame([*rows, ("g", "x", 3), ("g", "y", 4)], columns=["user", "item", "time"])
    found = following(given(table, range(8), [8, 9], items=CATALOGUE, run={"label": [1, 1]}))
    # g has no history: kNN falls back on popularity (w 4, x 2, y 2, z 0), in which x and y share the places 2 and 3
    assert found["popularity"].tolist() == [2.5, 2]
    assert found["item-kNN"].tolist() == [2.5, 1]  # x is no candidate any more


def test_without_times_the_history_is_the_train_rows():
    table = pd.DataFrame([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")], columns=["user", "item"])
    found = following(given(table, [0, 1, 2], [3], items=CATALOGUE, run={"label": [1]}))
    assert found["popularity"].tolist() == [1] and found["item-kNN"].tolist() == [1]


@pytest.mark.parametrize("later", [False, True])
def test_gaps_are_to_the_next_event_or_to_the_next_later_moment(later):
    """Two lines every day: 0 and a day to the next event, a day to the next later moment."""
    time = np.repeat(np.arange(60) * 86_400.0, 2)
    table = pd.DataFrame({"user": "a", "time": time})
    label = np.log1p([86_400.0 if later or place % 2 else 0.0 for place in range(100, 118)])
    found = gaps(given(table, range(100), range(100, 118), run={"label": label}))
    assert np.abs(found["gaps + boosting"] - label).max() < 0.1
    with pytest.raises(ValueError, match="another label"):
        gaps(given(table, range(100), range(100, 118), run={"label": label + 1}))


def test_rates_tell_likes_and_numbers():
    random = np.random.default_rng(0)
    user, item = random.integers(0, 20, 2000), random.integers(0, 20, 2000)
    stars = 1.0 + (user % 2) + 2 * (item % 2)
    table = pd.DataFrame({"user": user, "item": item, "time": np.arange(2000.0), "stars": stars})
    test = np.arange(1500, 2000)
    liked = (stars >= 3)[test]
    found = likes(given(table, range(1500), test, column="stars", threshold=3, run={"label": liked}))
    assert found["rates + logistic"][liked].min() > found["rates + logistic"][~liked].max()
    found = numbers(given(table, range(1500), test, column="stars", run={"label": stars[test]}))
    assert np.abs(found["rates + boosting"] - stars[test]).mean() < 0.2 < np.abs(found["median"] - stars[test]).mean()


def test_a_drawn_row_has_the_query_of_its_number():
    table = pd.DataFrame({"query": ["red shoe", "blue hat", "red shoe"], "item": ["x", "y", "z"]})
    items = pd.DataFrame({"item": ["x", "y", "z"], "text": ["a red shoe", "a blue hat", "shoe that is red"]})
    test = pd.DataFrame({"row": [2, None], "group": ["1", "1"], "item": ["y", "x"], "label": [1, 0]})

    def vectors(texts):
        return np.stack([["blue" in text, "red" in text] for text in texts]).astype(float)

    of = Given(table, items, np.array([0]), np.array([2]), test, vectors=vectors)
    found = matches(of)
    assert found["vectors cosine"].tolist() == [1, 0]
    assert found["tfidf cosine"][0] > found["tfidf cosine"][1]
    with pytest.raises(ValueError, match="1 test rows are of another query or item"):
        matches(replace(of, test=test.assign(row=[1, None])))
