"""Pairs of tasks: the few rows are as few as they say, and nothing of the test is known before it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies.pairs import ALL, LATEST, PAIRS, TEST, EventPair, SearchPair, TextPair, log_of

TEXTS = [f"w{n}" for n in range(300)]


def random(seed=0):
    return np.random.default_rng(seed)


def table_of(texts):
    split = np.where(np.arange(len(texts)) < 100, "test", "train")
    return pd.DataFrame({"text": texts, "label": [f"c{n % 7}" for n in range(len(texts))], "split": split})


def test_a_draw_of_texts_has_so_many_labelled_rows_and_test_rows_of_their_classes():
    target = table_of(TEXTS)
    pair = TextPair("one beside another", "field", lambda data: {"few": target, "many": target.iloc[100:150]})
    drawn = pair.drawn(pair.tables(Path()), 10, random())
    few = drawn.frames["few"]
    assert few["split"].value_counts().drop("test").to_dict() == {"train": 8, "valid": 2} and drawn.rows == 10
    test = few[few["split"] == "test"]
    assert set(test["label"]) <= set(few["label"][few["split"] == "train"])
    assert test["text"].tolist() == [TEXTS[n] for n in drawn.group]
    assert set(few["text"][few["split"] != "test"]) <= set(TEXTS[100:])
    assert drawn.frames["many"]["text"].tolist() == TEXTS[100:150]
    pd.testing.assert_frame_equal(few, pair.drawn(pair.tables(Path()), 10, random()).frames["few"])
    assert set(pair.drawn(pair.tables(Path()), 10, random(1)).frames["few"]["text"]) != set(few["text"])
    whole = pair.drawn(pair.tables(Path()), ALL, random())
    assert whole.frames["few"]["split"].value_counts().to_dict() == {"train": 160, "test": 100, "valid": 40}
    assert whole.rows == 200


def judged():
    """Judgments of forty queries, of which the first twelve are tested."""
    of = np.random.default_rng(0).integers(0, 40, 800)
    split = np.where(of < 12, "test", "train")
    frame = {"query": [f"q{n}" for n in of], "item": np.arange(800), "grade": of % 3, "split": split}
    tables = {"few": pd.DataFrame(frame), "many": table_of(TEXTS)}
    return tables | {name: pd.DataFrame({"item": [1], "text": ["w"]}) for name in ("items", "passages")}


def test_a_draw_of_judgments_has_so_many_of_queries_that_are_not_tested_and_validates_on_whole_queries():
    pair = SearchPair("one beside another", "field", None)
    for seed, size in ((0, 60), (1, 60), (2, 250)):
        drawn = pair.drawn(judged(), size, random(seed))
        few = drawn.frames["few"]
        by = {split: set(of["query"]) for split, of in few.groupby("split")}
        assert not (by["train"] & by["valid"] or by["train"] & by["test"] or by["valid"] & by["test"])
        count = few["split"].value_counts()
        assert count["train"] + count["valid"] == drawn.rows == size
        largest = few[few["split"] == "valid"].groupby("query").size().max()
        assert 0.2 * size < count["valid"] <= 0.2 * size + largest  # no query more than is needed
        test = few[few["split"] == "test"]
        assert len(test) == sum(judged()["few"]["split"] == "test")
        assert (
            (test["query"].to_numpy()[:, None] == test["query"].to_numpy()) == (drawn.group[:, None] == drawn.group)
        ).all()
    assert drawn.frames.keys() == {"few", "many", "items", "passages"}


def shop(rows=600):
    """A log in no order, of ten users, with ratings."""
    of = np.random.default_rng(0)
    columns = {"user": of.integers(0, 10, rows), "item": of.integers(0, 30, rows), "time": of.permutation(rows) * 1.0}
    events = pd.DataFrame(columns | {"rating": of.integers(1, 6, rows).astype(float)})
    return {"items": pd.DataFrame({"item": np.arange(30), "text": "w"}), "events": events}


def drawn_log(size=50, seed=0):
    tables = log_of(lambda data, rows: shop(), "rating", Path())
    return EventPair("one beside another", "field", None, threshold=4).drawn(tables, size, random(seed))


def test_a_draw_of_events_divides_what_was_before_the_test_rows():
    drawn = drawn_log()
    events, few, many = shop()["events"], drawn.frames["few"], drawn.frames["many"]
    known, test = few[few["split"] != "test"], few[few["split"] == "test"]
    assert len(test) == LATEST * len(events) and drawn.rows == 50
    assert known["split"].value_counts().to_dict() == {"train": 40, "valid": 10}
    assert sorted([*few["time"], *many["time"]]) == sorted(events["time"])  # each row once, and times are its names
    assert max(known["time"].max(), many["time"].max()) < test["time"].min()
    for table in (known, many):
        latest = table.groupby("split")["time"].agg(["min", "max"])
        assert latest["max"]["train"] < latest["min"]["valid"]
    assert many["split"].value_counts(normalize=True).round(2).to_dict() == {"train": 0.8, "valid": 0.1, "test": 0.1}
    assert "rating" in few and "rating" not in many


def test_draws_of_events_have_the_same_test_rows_which_belong_to_their_users():
    first, second = drawn_log(seed=0), drawn_log(seed=1)
    tests = [of.frames["few"].query("split == 'test'") for of in (first, second)]
    pd.testing.assert_frame_equal(*tests)
    assert (first.group == second.group).all()
    user = tests[0]["user"].to_numpy()
    assert ((user[:, None] == user) == (first.group[:, None] == first.group)).all()
    assert set(first.frames["few"]["time"]) != set(second.frames["few"]["time"])


def test_of_a_long_log_so_many_rows_are_tested():
    tables = log_of(lambda data, rows: shop(rows), "rating", Path())
    assert len(tables["test"]) == TEST and len(tables["known"]) == 8000


@pytest.mark.parametrize(
    ("pair", "kinds"),
    [
        (TextPair("one beside another", "field", None), ("classification", "classification")),
        (TextPair("one beside another", "field", None, kind="regression"), ("regression", "regression")),
        (SearchPair("one beside another", "field", None), ("match-query", "match-query")),
        (EventPair("one beside another", "field", None, threshold=4), ("interest", "next-item")),
    ],
)
def test_a_recipe_has_the_tables_and_tasks_that_it_is_asked_for(pair, kinds):
    both = pair.recipe("folder", ["few", "many"], ["few", "many"])
    assert tuple(task["kind"] for task in both["tasks"].values()) == kinds
    alone, reading = (pair.recipe("folder", tables, ["few"]) for tables in (["few"], ["few", "many"]))
    assert {*alone["data"]["tables"]} == {*both["data"]["tables"]} - {"many", "passages"}
    assert list(alone["tasks"]) == list(reading["tasks"]) == ["few"]
    assert all(of["path"] == f"folder/{name}.parquet" for name, of in both["data"]["tables"].items())
    if pair.shared:
        assert alone["tasks"]["few"]["history"] == ["few"]
        assert all(task["history"] == ["few", "many"] for of in (reading, both) for task in of["tasks"].values())


def test_there_are_pairs_of_texts_of_searches_and_of_events():
    assert len(PAIRS) == 9
    assert sum(isinstance(pair, EventPair) for pair in PAIRS.values()) == 2
    assert all(" beside " in pair.said for pair in PAIRS.values())
    assert {pair.field for pair in PAIRS.values()} == {"finance", "service", "shop", "search", "films"}
