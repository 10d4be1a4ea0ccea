"""The first training rows of every kind of task in words."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from eventful import ITEMS, make
from made import labelled, made

from peftrec.data.rows import Rows
from peftrec.data.tables import Events, Queries, Tables, Texts
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset
from peftrec.tasks.words import first_examples

DAY = 86_400
ROWS = [(user, n % 6, n * DAY + user * 3600, 1 + n % 5) for user in range(2) for n in range(10)]


def first(tables, data=None, **task):
    made_task = made(**task)
    config = DataConfig(source="x", **(data or {"split": {"kind": "random", "test": 0.2, "valid": 0.1}}))
    dataset = build_dataset(tables, {"task": made_task}, config, 0)
    return first_examples(dataset, "task", made_task)


def events(rows=ROWS, column="rating", **changes):
    user, item, time, value = (np.asarray([row[n] for row in rows], float) for n in range(4))
    columns = {column: value}
    return Events(user.astype(np.int32), item.astype(np.int32), time, columns, ["ann", "bob"], **changes).ordered()


def test_interest_says_who_liked_what_before():
    found = first(
        Tables({"items": ITEMS, "events": make(ROWS)}),
        {"split": {"test": 0.2, "valid": 0}},
        kind="interest",
        threshold=3,
    )
    assert found[0] == {
        "user": "u0",
        "time": "1970-01-02T00:00:00",
        "history": [{"text": "a", "said": "not liked"}],
        "before": 0,
        "item": "i1",
        "candidate": "b",
        "label": "not liked",
    }
    assert found[1]["history"] == [{"text": "a", "said": "not liked"}, {"text": "b", "said": "not liked"}]
    assert [row["label"] for row in found] == ["not liked", "liked", "liked"]


def test_of_a_long_history_the_newest_are_told():
    rows = [(0, n % 6, n * DAY, 1 + n % 2) for n in range(30)]
    part = ["train" if n > 20 else "test" for n in range(30)]
    tables = Tables({"items": ITEMS, "events": replace(make(rows, users=1), given=part)})
    data = {"split": {"kind": "given", "column": "part"}, "history": 8}
    found = first(tables, data, kind="interest", threshold=2)[0]
    assert (found["item"], found["before"]) == ("i3", 5)
    assert [event["text"] for event in found["history"]] == ["a", "b", "c"]


def test_numbers_have_their_column_and_gaps_their_units():
    tables = Tables({"items": ITEMS, "events": events(column="minutes")})
    data = {"split": {"test": 0.2, "valid": 0}}
    found = first(tables, data, kind="regression", column="minutes")[0]
    assert (found["history"], found["label"]) == ([{"text": "a", "said": "minutes 1"}], "minutes 2")
    later = [(u, i, t + (500 if i == 2 else 0), v) for u, i, t, v in ROWS]
    found = first(Tables({"items": ITEMS, "events": events(later)}), data, kind="next-gap")
    assert [row["label"] for row in found] == ["after 1 d", "after 23 h 52 min", "after 1 d"]
    assert found[1]["history"] == [{"text": "a", "said": "after 0 s"}, {"text": "b", "said": "after 1 d"}]


def test_feedback_that_is_always_alike_is_not_said_and_tables_are():
    tables = Tables({"items": ITEMS, "views": events(), "buys": events(ROWS[:9] + ROWS[10:19], "price")})
    data = {"split": {"test": 0.2, "valid": 0}}
    found = first(tables, data, kind="next-item", table="buys", history=["views", "buys"])
    assert found[0]["history"] == [{"text": "a", "table": "views"}, {"text": "a", "table": "buys"}]
    assert (found[0]["candidate"], found[0]["label"]) == ("b", "chosen")


def test_without_times_rows_are_of_their_users_other_events():
    untimed = Events(
        np.repeat([0, 1], 10).astype(np.int32), np.tile([*range(6), 0, 1, 2, 3], 2), None, {}, ["ann", "bob"]
    )
    found = first(Tables({"items": ITEMS, "events": untimed}), kind="next-item")
    assert all("time" not in row and row["user"] == "ann" and row["history"] for row in found)


def test_queries_texts_and_pairs_are_asked_as_they_are():
    queries = Queries(
        ["q"] * 3 + ["r"] * 3, np.arange(6), np.array([0.0, 2, 2] * 2), given=["train"] * 3 + ["test"] * 3
    )
    tables = Tables({"items": ITEMS, "queries": queries})
    split = {"split": {"kind": "given", "column": "split"}}
    towers = first(tables, split, kind="match-query")
    assert towers == [
        {"query": "q", "item": "i0", "candidate": "a", "label": "0"},
        {"query": "q", "item": "i1", "candidate": "b", "label": "2"},
        {"query": "q", "item": "i2", "candidate": "c", "label": "2"},
    ]
    assert first(tables, split, kind="match-query", input="joint") == towers
    texts = labelled([f"text {n}" for n in range(10)], ["good", "bad"] * 5, ["train"] * 8 + ["test", "valid"])
    assert first(texts, split, kind="classification") == [
        {"text": f"text {n}", "label": ["good", "bad"][n % 2]} for n in range(3)
    ]
    table = Texts(
        ["a", "b", "c", "d"], Rows("t", pa.table({"price": [1.25, 2, 3, 4]})), given=["train", "train", "valid", "test"]
    )
    assert first(Tables({"texts": table}), split, kind="regression", label="price") == [
        {"text": "a", "label": "price 1.25"},
        {"text": "b", "label": "price 2"},
    ]
