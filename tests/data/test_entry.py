from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.load import load_tables
from peftrec.data.tables import Events, Tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, make_recipe

ITEMS = "id,title,year\ni1,Heat,1995\ni2,Up,2009\ni3,Big,\n"
EVENTS = "user,item,time,rating\nb,i1,30,4\na,i2,20,5\nb,i3,10,1\na,i1,20,2\n"
QUERIES = """{"q": "crime", "item": "i1", "grade": 2, "when": "1970-01-01"}
{"q": "balloon", "item": "i2", "grade": 0, "when": "1970-01-02"}
"""
TEXTS = "text\tintent\tpart\nhello\tgreet\ttrain\nbye\tleave\ttest\n"


def config(folder: Path, **changed):
    data = {
        "items": {"path": f"{folder}/items.csv", "id": "id", "text": "{title} ({year})"},
        "events": {
            "path": f"{folder}/events.csv",
            "user": "user",
            "item": "item",
            "time": "time",
            "columns": ["rating"],
        },
        "queries": {"path": f"{folder}/queries.jsonl", "text": "{q}", "item": "item", "label": "grade", "time": "when"},
        "texts": {"path": f"{folder}/texts.tsv", "text": "{text}", "label": "intent", "split": "part"},
    }
    for key, value in changed.items():
        table, _, column = key.partition("__")
        data[table][column] = value
    return DataConfig.model_validate(data)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "texts.tsv").write_text(TEXTS)
    return tmp_path


def test_four_tables_of_ones_own(folder):
    tables = load_tables(config(folder))
    assert tables.named["items"].ids == ["i1", "i2", "i3"]
    assert tables.named["items"].texts == ["Heat (1995)", "Up (2009)", "Big ()"]
    assert tables.named["items"].columns == {"title": ["Heat", "Up", "Big"], "year": ["1995", "2009", ""]}
    events = tables.named["events"]  # ordered by user (as they first appear) and time; equal times as in the file
    assert events.user_ids == ["b", "a"]
    assert events.user.tolist() == [0, 0, 1, 1]
    assert events.item.tolist() == [2, 0, 1, 0]
    assert events.time.tolist() == [10, 30, 20, 20]
    assert events.columns["rating"].tolist() == [1, 4, 5, 2]
    assert events.user_start.tolist() == [0, 2, 4]
    assert tables.named["queries"].text == ["crime", "balloon"]
    assert tables.named["queries"].item.tolist() == [0, 1]
    assert tables.named["queries"].label.tolist() == [2, 0]
    assert tables.named["queries"].time.tolist() == [0, 86_400]
    texts = tables.named["texts"]
    assert (texts.text, texts.label, texts.given) == (["hello", "bye"], "intent", ["train", "test"])
    assert texts.rows.strings("intent").to_pylist() == ["greet", "leave"]


def test_ids_match_between_file_types(folder):
    pq.write_table(pa.table({"id": [1, 2], "title": ["Heat", "Up"], "year": [1995.0, None]}), folder / "items.parquet")
    (folder / "events.csv").write_text("user,item,time,rating\n7,2,20,5\n7,1,10,4\n")
    data = config(folder, items__path=f"{folder}/items.parquet").model_copy(update={"queries": None, "texts": None})
    tables = load_tables(data)
    assert tables.named["items"].texts == ["Heat (1995)", "Up ()"]
    assert tables.named["events"].item.tolist() == [0, 1]


def test_a_log_is_a_catalogue_and_a_set_of_users_too(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user,item,title,time\nb,1,Heat,30\na,2,Up,20\nb,2,Up,10\na,1,Heat,20\n")
    data = {
        "items": {"path": str(log), "id": "item", "text": "{title}"},
        "users": {"path": str(log), "id": "user"},
        "events": {"path": str(log), "user": "user", "item": "item", "time": "time"},
    }
    tables = load_tables(DataConfig.model_validate(data))
    assert (tables.named["items"].ids, tables.named["items"].texts) == (["1", "2"], ["Heat", "Up"])
    assert tables.named["users"].ids == ["b", "a"]
    assert tables.notes == [
        "data.items: 2 ids stand in 4 rows, the same each time; each is one",
        "data.users: 2 ids stand in 4 rows, the same each time; each is one",
    ]
    log.write_text("user,item,title,time\nb,1,Heat,30\na,1,Heat,20\nb,1,Heat 2,10\n")
    with pytest.raises(UserError, match=r"log\.csv: row 3, column 'item': must be unique, and row 1 has it already"):
        load_tables(DataConfig.model_validate(data))


def test_a_split_that_the_files_names_say(tmp_path):
    for name, rows in (("talk_train", "hi,a\nho,b"), ("talk_dev", "he,a"), ("talk_test", "ha,b\nhu,a")):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    files = {"train": "*_train.csv", "valid": "*dev*", "test": "*_test.csv"}

    def load(path, **changed):
        split = {"kind": "given", "files": {**files, **changed}}
        texts = {"path": f"{tmp_path}/{path}", "text": "{text}", "label": "label", "split": split}
        return load_tables(DataConfig.model_validate({"texts": texts})).named["texts"]

    texts = load("talk_*.csv")
    assert dict(zip(texts.text, texts.given, strict=True)) == {
        "he": "valid", "ha": "test", "hu": "test", "hi": "train", "ho": "train"
    }  # fmt: skip
    assert load("talk_dev.csv").given == ["valid"]
    with pytest.raises(
        UserError, match=r"data\.texts\.split\.files: .*talk_dev\.csv must match one .* it matches none"
    ):
        load("talk_*.csv", valid="*validation*")
    with pytest.raises(
        UserError, match=r"talk_test\.csv must match one of the patterns .*; it matches those of valid and te"
    ):
        load("talk_*.csv", valid="*_*e*")


# What is wrong: (file, text in it, text instead, the message after the file's path)
WRONG = {
    "duplicate item": (
        "items.csv",
        "i2,",
        "i1,",
        "row 2, column 'id': must be unique, and row 1 has it already; found 'i1'",
    ),
    "empty item id": ("items.csv", "i2,", ",", "row 2, column 'id': must not be empty; found ''"),
    "empty item text": ("items.csv", "Big", "", "row 3, column 'title, year': the text must not be empty; found ''"),
    "template column": ("items.csv", "year", "jahr", "no column 'year'; its columns are id, title, jahr"),
    "event item": ("events.csv", "i3", "i9", "row 3, column 'item': must be an id of data.items; found 'i9'"),
    "event user": ("events.csv", "b,i3", ",i3", "row 3, column 'user': must not be empty; found ''"),
    "event column": ("events.csv", "rating", "stars", "no column 'rating'; its columns are user, item, time, stars"),
    "rating text": ("events.csv", "10,1", "10,one", "row 3, column 'rating': must be a finite number; found 'one'"),
    "rating nan": ("events.csv", "10,1", "10,NaN", "row 3, column 'rating': must be a finite number; found 'NaN'"),
    "rating missing": ("events.csv", "10,1", "10,", "row 3, column 'rating': must be a finite number; found ''"),
    "time text": (
        "events.csv",
        "i3,10",
        "i3,soon",
        "row 3, column 'time': must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00; found 'soon'",
    ),
    "time future": (
        "events.csv",
        "i3,10",
        "i3,2999-01-01",
        "row 3, column 'time': a time must not lie in the future; found '2999-01-01'",
    ),
    "query item": ("queries.jsonl", "i2", "i9", "row 2, column 'item': must be an id of data.items; found 'i9'"),
    "query text": ("queries.jsonl", "balloon", " ", "row 2, column 'q': the text must not be empty; found ''"),
    "query grade": (
        "queries.jsonl",
        '"grade": 0',
        '"grade": null',
        "row 2, column 'grade': must be a finite number; found None",
    ),
    "query graded twice": (
        "queries.jsonl",
        '"balloon", "item": "i2", "grade": 0, "when": "1970-01-02"',
        '"crime", "item": "i1", "grade": 0, "when": "1970-01-01"',
        "row 2, column 'grade': row 1 has the same query, item, time with grade 2; keep one of the two; found '0'",
    ),
    "query time": (
        "queries.jsonl",
        "1970-01-02",
        "2999-01-02",
        "row 2, column 'when': a time must not lie in the future; found ",
    ),
    "text": ("texts.tsv", "bye", "", "row 2, column 'text': the text must not be empty; found ''"),
    "split": (
        "texts.tsv",
        "test",
        "dev",
        "row 2, column 'part': a split is one of train, valid, validation, test; found 'dev'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_names_file_row_column_rule_and_value(folder, case):
    name, old, new, message = WRONG[case]
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_tables(config(folder))
    assert str(error.value).startswith(f"{folder}/{name}: {message}")
    assert "\n" not in str(error.value)


def test_wrong_inputs_are_all_tried():
    assert len(WRONG) == 19


def test_the_recipe_key_is_named_when_a_file_or_template_is_wrong(folder):
    with pytest.raises(UserError, match=r"data\.queries\.path: no such file: .*/none\.csv"):
        load_tables(config(folder, queries__path=f"{folder}/none.csv"))
    with pytest.raises(UserError, match=r"data\.items\.text: a template names at least one column"):
        load_tables(config(folder, items__text="title"))


def test_a_query_and_an_item_have_one_grade_where_no_times_are_known(folder):
    (folder / "queries.jsonl").write_text(QUERIES + '{"q": "crime", "item": "i1", "grade": 1, "when": "1970-01-09"}\n')
    assert len(load_tables(config(folder)).named["queries"]) == 3
    with pytest.raises(UserError) as error:
        load_tables(config(folder, queries__time=None))
    assert str(error.value) == (
        f"{folder}/queries.jsonl: row 3, column 'grade': row 1 has the same query, item with grade 2; keep one of the "
        "two; found '1'"
    )


def test_what_is_given_again_or_left_empty_is_kept_and_said(folder):
    before = load_tables(config(folder))
    assert before.notes == ["data.items.text: 1 of 3 rows have no year"]
    (folder / "events.csv").write_text(EVENTS + "b,i1,30,5\nb,i1,30,4\nb,i1,30,4\n")
    (folder / "queries.jsonl").write_text(QUERIES * 2)
    tables = load_tables(config(folder, queries__text="{q}"))
    assert tables.notes == [
        "data.items.text: 1 of 3 rows have no year",
        "data.events: 2 rows repeat an earlier one (same user, item, time, rating); each counts",
        "data.queries: 2 rows repeat an earlier one (same query, item, time, grade); each counts",
    ]
    assert (len(tables.named["events"]), len(tables.named["queries"])) == (7, 4)
    assert load_tables(config(folder, queries__label=None)).notes == tables.notes[:2]  # matches, each asked for again


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(UserError, match=r"data\.source: no source 'movilens-100k' \(did you mean 'movielens-100k'\?\)"):
        load_tables(DataConfig(source="movilens-100k"))


def test_a_source_of_ones_own_is_a_dotted_path(folder, monkeypatch):
    (folder / "mysource.py").write_text(
        "from peftrec.data.tables import Items, Tables\n"
        "def load(path) -> Tables: return Tables({'items': Items(['a'], [str(path)])})\n"
        "def wrong(path) -> int: return 3\n"
    )
    monkeypatch.syspath_prepend(folder)
    tables = load_tables(DataConfig(source="mysource:load", path="somewhere"))
    assert isinstance(tables, Tables) and tables.named["items"].texts == ["somewhere"]
    with pytest.raises(UserError, match=r"mysource:wrong must be a function \(path: Path \| None\) -> Tables"):
        load_tables(DataConfig(source="mysource:wrong"))
    for name in ("mysource:absent", "no.such:load", ":load"):
        with pytest.raises(UserError, match=f"data.source: cannot import '{name}'"):
            load_tables(DataConfig(source=name))


def test_events_without_items_are_refused_by_the_recipe(folder):
    raw = {
        "backbone": {"name": "x"},
        "data": {"events": {"path": "e.csv", "user": "u", "item": "i", "time": "t"}},
        "tasks": {"a": {"kind": "next-gap"}},
    }
    with pytest.raises(UserError, match=r"data: events: events and queries refer to items: give data\.items too"):
        make_recipe(raw)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60))
def test_events_are_ordered_by_user_and_time_and_ties_keep_their_order(pairs):
    user, moment = (np.asarray([p[n] for p in pairs], np.int32) for n in (0, 1))
    position = np.arange(len(pairs))
    events = Events(user, position, moment.astype(float), {"n": position.astype(float)}, list("abcde")).ordered()
    expected = sorted(range(len(pairs)), key=lambda i: (pairs[i], i))
    assert events.item.tolist() == expected == events.columns["n"].tolist()
    assert events.user.tolist() == [pairs[i][0] for i in expected]
    assert [np.diff(events.user_start).tolist()[u] for u in range(5)] == [
        sum(p[0] == u for p in pairs) for u in range(5)
    ]


def test_a_hundred_thousand_rows_load(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "items.csv").write_text("id,title\n" + "".join(f"{n},item {n}\n" for n in range(1000)))
    columns = zip(random.integers(0, 999, 100_000), random.integers(0, 1000, 100_000), strict=True)
    (tmp_path / "events.csv").write_text("user,item,time\n" + "".join(f"{u},{i},{u * i}\n" for u, i in columns))
    tables = load_tables(
        DataConfig.model_validate(
            {
                "items": {"path": f"{tmp_path}/items.csv", "id": "id", "text": "{title}"},
                "events": {"path": f"{tmp_path}/events.csv", "user": "user", "item": "item", "time": "time"},
            }
        )
    )
    assert len(tables.named["events"]) == 100_000


ORDERS = "user,item,time,order\na,i1,10,7\na,i2,40,8\na,i3,20, 7 \nb,i1,30,7\na,i2,15,\na,i3,16,\na,i1,50,8\n"


def test_rows_of_one_order_have_the_time_of_its_last(folder):
    (folder / "events.csv").write_text(ORDERS)
    tables = load_tables(config(folder, events__columns=[], events__moment="order"), described=True)
    events = tables.named["events"]
    assert events.user_ids == ["a", "b"] and events.user.tolist() == [0] * 6 + [1]
    assert events.time.tolist() == [15, 16, 20, 20, 50, 50, 30]  # rows without an order keep their own
    assert events.item.tolist() == [1, 2, 0, 2, 1, 0, 0]
    (use,) = (of.use for table in tables.summaries for of in table.columns if of.name == "order")
    assert use == "moment"
    with pytest.raises(UserError, match="no column 'basket'; its columns are user, item, time, order"):
        load_tables(config(folder, events__columns=[], events__moment="basket"))


SHOWN = "user,item,time,list,hit\na,i1,10,x,0\nb,i2,10,y,1\na,i2,10,x,1\nb,i3,5,,1\na,i3,20, z ,0\n"


def shown(folder, text=SHOWN, **changed):
    (folder / "events.csv").write_text(text)
    data = config(folder, events__columns=[], events__clicked="hit", events__impression="list")
    return config(folder, **{f"events__{k}": v for k, v in {**data.events.model_dump(), **changed}.items()})


def test_what_was_shown_in_lists_and_clicked(folder):
    events = load_tables(shown(folder)).named["events"]
    assert events.user_ids == ["a", "b"] and events.user.tolist() == [0, 0, 0, 1, 1]
    assert events.item.tolist() == [0, 1, 2, 2, 1]
    assert events.columns == {"hit": pytest.approx([0, 1, 0, 1, 1])} and events.clicked == "hit"
    assert events.impression.tolist() == [0, 0, 3, -1, 1]
    assert events.chosen.tolist() == [False, True, False, True, True]
    assert events.clicks.item.tolist() == events.remembered.item.tolist() == [1, 2, 1]
    assert events.clicks.clicked is None and events.clicks.impression is None
    assert events.received.item.tolist() == [0, 1, 2, 1]
    assert load_tables(shown(folder, unclicked_in_history=True)).named["events"].remembered.item.tolist() == [
        0,
        1,
        2,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("x,0", "x,2"), r"row 1, column 'hit': must be 1 \(clicked\) or 0 \(shown, not clicked\); found '2'"),
        (("x,0", "x,yes"), r"row 1, column 'hit': must be a finite number; found 'yes'"),
        (("b,i2,10,y", "b,i2,10,x"), r"row 2, column 'list': is several users': row 1 differs; .*; found 'x'"),
        (("a,i2,10,x", "a,i2,11,x"), r"row 3, column 'list': is of several times: row 1 differs; .*; found 'x'"),
        (("list,hit", "list,hits"), r"no column 'hit'; its columns are user, item, time, list, hits"),
    ],
)
def test_lists_that_are_not_one_users_at_one_time_are_refused(folder, change, message):
    with pytest.raises(UserError, match=message):
        load_tables(shown(folder, SHOWN.replace(*change)))


def test_features_may_be_missing_and_follow_the_order_of_the_events(folder):
    (folder / "items.csv").write_text(
        "id,title,year,price,brand\ni1,Heat,1995,9.5, acme \ni2,Up,2009,,\ni3,Big,,0,zeta\n"
    )
    (folder / "events.csv").write_text(
        "user,item,time,rating,hour\nb,i1,30,4,7\na,i2,20,5,\nb,i3,10,1,9\na,i1,20,2,3\n"
    )
    of_items = {"price": "number", "brand": "category", "year": "category"}
    tables = load_tables(config(folder, items__features=of_items, events__features={"hour": "number"}))
    items, events = tables.named["items"].features, tables.one(Events).features
    assert np.array_equal(items.numbers["price"], np.array([9.5, np.nan, 0], np.float32), equal_nan=True)
    assert {name: column.to_pylist() for name, column in items.categories.items()} == {
        "brand": ["acme", "", "zeta"],
        "year": ["1995", "2009", ""],
    }
    # Of b, who comes first, at 10 and 30; then of a.
    assert np.array_equal(events.numbers["hour"], np.array([9, 7, np.nan, 3], np.float32), equal_nan=True)


def test_features_that_are_not_there_or_no_numbers_are_refused_together(folder):
    (folder / "items.csv").write_text("id,title,year,price\ni1,Heat,1995,\ni2,Up,2009,cheap\ni3,Big,,3\n")
    of_items = {"price": "number", "weight": "number", "brand": "category"}
    with pytest.raises(UserError) as error:
        load_tables(config(folder, items__features=of_items, events__features={"hour": "category"}))
    assert [problem.split("; its")[0] for problem in error.value.problems] == [
        f"{folder}/items.csv: row 2, column 'price': must be a finite number; found 'cheap'",
        f"{folder}/items.csv: no column 'weight'",
        f"{folder}/items.csv: no column 'brand'",
        f"{folder}/events.csv: no column 'hour'",
    ]
