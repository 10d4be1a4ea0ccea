"""What tables were understood as."""

import json
from dataclasses import asdict

import pyarrow as pa
from shop import write_csv

from peftrec.data.load import load_tables
from peftrec.data.rows import Rows
from peftrec.data.summary import ColumnSummary, iso, summarise, uses_of
from peftrec.recipe import DataConfig, EventsConfig


def columns(*tables):
    """Table -> column -> what differs from a column that nothing reads, without values."""
    empty = asdict(ColumnSummary("", "", ""))
    return {
        table.name: {
            column.name: {key: v for key, v in asdict(column).items() if v != empty[key] and key != "name"}
            for column in table.columns
        }
        for table in tables
    }


def test_a_files_columns_by_use_and_the_names_of_others(tmp_path):
    write_csv(
        tmp_path / "items.csv",
        [
            {"shelf": "a", "id": "1", "title": "Heat", "year": "1995", "price": ""},
            {"shelf": "a", "id": "2", "title": "Up", "year": "", "price": "1.5"},
            {"shelf": "b", "id": "3", "title": "Up", "year": "2009", "price": "20"},
        ],
    )
    write_csv(
        tmp_path / "events.csv",
        [
            {"when": "2024-06-01T20:15:00", "who": "7", "what": "3", "stars": "4"},
            {"when": "2024-05-31", "who": "7", "what": "1", "stars": "2.5"},
        ],
    )
    data = DataConfig(
        items={"path": f"{tmp_path}/items.csv", "id": "id", "text": "{title} ({year})"},
        events={"path": f"{tmp_path}/events.csv", "user": "who", "item": "what", "time": "when", "columns": ["stars"]},
    )
    items, events = load_tables(data, described=True).summaries
    assert [(t.name, t.kind, t.file, t.rows) for t in (items, events)] == [
        ("items", "items", f"{tmp_path}/items.csv", 3),
        ("events", "events", f"{tmp_path}/events.csv", 2),
    ]
    assert ([column.name for column in items.columns], items.others) == (["id", "title", "year"], ["shelf", "price"])
    assert columns(items, events) == {
        "items": {
            "id": {"use": "id", "holds": "text", "distinct": 3, "common": {"1": 1, "2": 1, "3": 1}},
            "title": {"use": "text", "holds": "text", "distinct": 2, "common": {"Up": 2, "Heat": 1}},
            "year": {"use": "text", "holds": "number", "missing": 1, "distinct": 2, "least": 1995.0, "most": 2009.0},
        },
        "events": {
            "who": {"use": "user", "holds": "text", "distinct": 1, "common": {"7": 2}},
            "what": {"use": "item", "holds": "text", "distinct": 2, "common": {"3": 1, "1": 1}},
            "when": {
                "use": "time",
                "holds": "time",
                "distinct": 2,
                "least": "2024-05-31T00:00:00",
                "most": "2024-06-01T20:15:00",
            },
            "stars": {"use": "number", "holds": "number", "distinct": 2, "least": 2.5, "most": 4.0},
        },
    }
    assert load_tables(data).summaries == []


def test_types_of_parquet_and_values_that_cannot_be_read(tmp_path):
    table = pa.table(
        {
            "day": pa.array([1_717_200_000, None, 1_717_286_400], pa.timestamp("s")),
            "far": pa.array([4_102_444_800] * 3, pa.timestamp("s")),
            "yes": [True, None, False],
            "tags": [["a", "b"], [], ["a", "b"]],
            "box": [{"w": 1}, None, {"w": 2}],
            "some": [1.5, float("nan"), None],
            "none": pa.array([None] * 3, pa.string()),
            "long": ["x" * 200, "y", "z"],
            "price": ["", "1.5", "20"],
        }
    )
    found = columns(summarise("t", "texts", Rows("t", table), {}))["t"]
    assert found["day"] == {
        "holds": "time",
        "missing": 1,
        "distinct": 2,
        "least": "2024-06-01T00:00:00",
        "most": "2024-06-02T00:00:00",
    }
    assert found["far"] == {"holds": "text", "distinct": 1, "common": {"2100-01-01": 3}}
    assert found["yes"] == {"holds": "number", "missing": 1, "distinct": 2, "least": 0.0, "most": 1.0}
    assert found["tags"] == {"holds": "text", "missing": 1, "distinct": 1, "common": {"a, b": 2}}
    assert found["box"] == {"holds": "struct<w: int64>", "missing": 1}
    assert found["some"] == {"holds": "number", "missing": 2, "distinct": 1, "least": 1.5, "most": 1.5}
    assert found["none"] == {"holds": "text", "missing": 3, "distinct": 0, "common": {}}
    assert found["price"] == {"holds": "number", "missing": 1, "distinct": 2, "least": 1.5, "most": 20.0}
    assert found["long"]["common"] == {"x" * 79 + "…": 1, "y": 1, "z": 1}


def test_the_tables_of_a_source_are_described_too():
    items, events, queries = load_tables(DataConfig(source="movielens-100k"), described=True).summaries
    assert [(t.name, t.kind, t.rows) for t in (items, events, queries)] == [
        ("items", "items", 1682),
        ("events", "events", 100_000),
        ("queries", "queries", 15_360),
    ]
    found = columns(items, events, queries)
    assert list(found["items"]) == ["id", "movie_title", "year", "genres"]
    assert found["events"]["time"] == {
        "use": "time",
        "holds": "time",
        "distinct": 49_282,
        "least": "1997-09-20T03:05:10",
        "most": "1998-04-22T23:10:38",
    }
    assert found["events"]["item"]["common"] == {"50": 583, "258": 509, "100": 508}  # Star Wars, Contact, Fargo
    assert found["queries"]["label"] == {"use": "label", "holds": "number", "distinct": 2, "least": 0.0, "most": 1.0}


def test_labelled_texts_of_a_source(tmp_path):
    parts = {
        f"{oos}{part}": [["hi there", "oos" if oos else "greeting"]]
        for oos in ("", "oos_")
        for part in ("train", "val", "test")
    }
    (tmp_path / "data_full.json").write_text(json.dumps(parts))
    (texts,) = load_tables(DataConfig(source="clinc150", path=str(tmp_path)), described=True).summaries
    assert columns(texts) == {
        "texts": {
            "text": {"use": "text", "holds": "text", "distinct": 1, "common": {"hi there": 6}},
            "label": {"use": "label", "holds": "text", "distinct": 2, "common": {"greeting": 3, "oos": 3}},
            "split": {"holds": "text", "distinct": 3, "common": {"train": 2, "valid": 2, "test": 2}},
        }
    }


def test_lists_that_were_shown():
    config = EventsConfig(path="", user="u", item="i", time="t", clicked="c", impression="list")
    assert uses_of(config, "k") == {"u": "user", "i": "item", "t": "time", "c": "clicked", "list": "impression"}


def test_times_as_people_write_them():
    assert [iso(t) for t in (0, -1.5, 1_717_200_000.9)] == [
        "1970-01-01T00:00:00",
        "1969-12-31T23:59:58",
        "2024-06-01T00:00:00",
    ]


def test_the_lists_of_a_source(tmp_path):
    (tmp_path / "news.tsv").write_text("N1\ta\tb\tOne\t\t\t\t\nN2\ta\tb\tTwo\t\t\t\t\n")
    (tmp_path / "behaviors.tsv").write_text("1\tU7\t11/12/2019 1:00:00 PM\tN2\tN1-0 N2-1\n")
    events = load_tables(DataConfig(source="mind", path=str(tmp_path)), described=True).summaries[1]
    found = columns(events)["events"]
    assert [(name, column["use"]) for name, column in found.items()] == [
        ("user", "user"),
        ("item", "item"),
        ("time", "time"),
        ("clicked", "clicked"),
        ("impression", "impression"),
    ]
    assert found["item"]["common"] == {"N2": 2, "N1": 1}
    assert found["impression"] == {
        "use": "impression",
        "holds": "text",
        "missing": 1,
        "distinct": 1,
        "common": {"0": 2},
    }
