"""The baselines on a few rows whose right answer can be counted by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.card.baselines import Given, classes, finding, following, gaps, likes, matches, numbers, so_far

EVENTS = pd.DataFrame(
    [("a", "x", 1.0, 5.0), ("b", "x", 2.0, 1.0), ("a", "y", 3.0, 4.0), ("a", "x", 3.0, 2.0), ("b", "y", 4.0, 3.0)],
    columns=["user", "item", "time", "stars"],
)


def given(table, train, test, **more):
    """`test`: places, with what the run says of each."""
    rows = pd.DataFrame({"row": np.array(test) + 1, **more.pop("run", {})})
    return Given(table, more.pop("items", pd.DataFrame()), np.array(train), np.array([], int), rows, **more)


def test_what_was_before_is_strictly_earlier():
    total, count = so_far(EVENTS, "user", "stars", np.arange(5))
    assert total.tolist() == [0, 0, 5, 5, 1] and count.tolist() == [0, 0, 1, 1, 1]  # a's two events of time 3 alike
    total, count = so_far(EVENTS, "item", "stars", np.arange(5))
    assert total.tolist() == [0, 5, 0, 6, 4] and count.tolist() == [0, 1, 0, 2, 1]


def test_without_times_all_other_known_rows_count():
    total, count = so_far(EVENTS.drop(columns="time"), "item", "stars", np.array([0, 1, 2, 4]))
    assert total.tolist() == [1, 5, 3, 6, 4] and count.tolist() == [1, 1, 1, 2, 1]


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


def test_where_repeats_are_allowed_the_history_stays():
    rows = [("a", "x", 1), ("a", "y", 2), *((u, "w", 1) for u in "cdef")]
    table = pd.DataFrame([*rows, ("a", "y", 3), ("a", "x", 4)], columns=["user", "item", "time"])
    of = given(table, range(6), [6, 7], items=CATALOGUE, run={"label": [1, 1]}, repeats=True)
    assert following(of)["own frequency"].tolist() == [1.5, 2]  # x and y once each; then y twice
    assert following(of)["popularity"].tolist() == [2.5, 2.5]
    assert following(replace(of, repeats=False))["popularity"].tolist() == [2, 2]  # after w


def test_validation_rows_are_learnt_from_too():
    """One class stands in them alone."""
    table = pd.DataFrame([("red", "r"), ("blue", "b")] * 10 + [("green", "g")] * 10, columns=["text", "label"])
    colour = ["red", "green", "blue"]
    vectors = lambda texts: np.eye(3)[[colour.index(text) for text in texts]]  # noqa: E731
    of = given(table, range(18), [18, 19, 29], column="label", vectors=vectors, run={"label": [2, 0, 1]})
    for found in classes(replace(of, valid=np.arange(20, 29))).values():
        assert found.argmax(1).tolist() == [2, 0, 1]
    for found in classes(of).values():
        assert found[:, 1].tolist() == [0, 0, 0]


def test_without_times_the_history_is_the_train_rows():
    table = pd.DataFrame([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")], columns=["user", "item"])
    found = following(given(table, [0, 1, 2], [3], items=CATALOGUE, run={"label": [1]}))
    assert found["popularity"].tolist() == [1] and found["item-kNN"].tolist() == [1]


def test_a_gap_is_to_the_next_later_moment_and_is_that_of_its_last_row():
    """Two lines at a time, after one day and two by turns."""
    time = np.repeat(np.cumsum(np.tile([86_400.0, 172_800.0], 40)), 2)
    table, gap = pd.DataFrame({"user": "a", "time": time}), np.diff(time[1::2])
    label = np.log1p(gap[60:70])
    train, test = np.arange(1, 120, 2), np.arange(121, 141, 2)
    found = gaps(given(table, train, test, run={"label": label}))
    assert np.abs(found["gaps + boosting"] - label).max() < 0.1 < np.abs(found["median"] - label).max()
    for places, of in ((test, label + 1), (test - 1, label)):
        with pytest.raises(ValueError, match="10 of 10 test rows have another label"):
            gaps(given(table, train, places, run={"label": of}))


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


SHELF = pd.DataFrame({"item": ["x", "y", "z"], "text": ["a red shoe", "a blue hat", "shoes that are red"]})


def colours(texts):
    return np.stack([["blue" in text, "red" in text] for text in texts]).astype(float)


def test_graded_pairs_have_their_cosines():
    table = pd.DataFrame({"query": ["red shoe", "blue hat"] * 2, "item": list("xyzx"), "grade": [10, 10, 1, 0]})
    run = {"label": [2, 1, 0], "item": ["y", "z", "x"]}
    found = matches(given(table, [0], [1, 2, 3], items=SHELF, run=run, vectors=colours))
    assert found["vectors cosine"].tolist() == [1, 1, 0]
    assert found["tfidf cosine"][0] > found["tfidf cosine"][1] > found["tfidf cosine"][2]


def test_an_item_is_found_in_the_whole_catalogue_but_for_the_query_s_other_matches():
    table = pd.DataFrame({"query": ["red shoe", "blue hat", "red shoe"], "item": ["x", "y", "z"]})
    run = {"label": [1, 1], "item": ["y", "z"]}
    found = finding(given(table, [0], [1, 2], items=SHELF, run=run, vectors=colours))
    assert found["vectors cosine"].tolist() == [1, 1] and found["tfidf cosine"].tolist() == [1, 1]
    alone = given(table.iloc[1:], [0], [1], items=SHELF, run={"label": [1], "item": ["z"]}, vectors=colours)
    assert finding(alone)["vectors cosine"].tolist() == [1.5]  # x is as red
