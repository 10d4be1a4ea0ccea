"""Which rows of a file belong to a table (`where`): no others are looked at, and what is wrong is told."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig

ITEMS = "id,title\ns1,One\ns2,Two\ns3,Three\n"
LOG = (
    "uid,sku,ts,event,price,basket\n"
    "a,s1,10,view,,\n"
    "a,s1,20,order,5,o1\n"
    "b,s9,-3,view,free,\n"
    "b,s2,30,view,2,\n"
    "a,s2,25,order,7.5,o1\n"
    "a,s2,25,order,7.5,o1\n"
    "b,s3,40,order,NA,o2\n"
)
EVENTS = {"kind": "events", "user": "uid", "item": "sku", "time": "ts"}


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("items.csv").write_text(ITEMS)
    Path("log.csv").write_text(LOG)

    def load(*, described=False, items=None, **tables):
        items = {"kind": "items", "path": "items.csv", "id": "id", "text": "{title}", "where": items}
        named = {"items": items} | {name: EVENTS | {"path": "log.csv"} | of for name, of in tables.items()}
        return load_tables(DataConfig.model_validate({"tables": named}), described)

    return load


def test_one_log_gives_several_tables_and_what_belongs_to_none_is_not_looked_at(load):
    tables = load(
        views={"where": 'event == "view" and ts > 0'},
        orders={"where": 'event == "order"', "moment": "basket", "features": {"price": "number"}},
    )
    views, orders = tables.named["views"], tables.named["orders"]
    assert (views.user_ids, views.row.tolist(), views.time.tolist()) == (["a", "b"], [0, 3], [10, 30])
    assert (orders.user_ids, orders.row.tolist()) == (["a", "b"], [1, 4, 5, 6])
    assert orders.time.tolist() == [25, 25, 25, 40]
    assert np.array_equal(orders.features.numbers["price"], [5, 7.5, 7.5, np.nan], equal_nan=True)
    assert list(views.files) == list(orders.files) == [("log.csv", 7)]
    assert tables.notes == [
        "data.tables.views.where: 2 of 7 rows of log.csv fulfil 'event == \"view\" and ts > 0'",
        "data.tables.orders.where: 4 of 7 rows of log.csv fulfil 'event == \"order\"'",
        "data.tables.orders: 1 rows repeat an earlier one (same uid, sku, ts); each counts",
    ]


def test_messages_have_the_numbers_that_rows_have_in_the_file(load):
    with pytest.raises(UserError) as error:
        load(log={"where": "uid == 'b'", "columns": ["price"]})
    assert error.value.problems == [
        "log.csv: row 3, column 'sku': must be an id of data.items; found 's9'",
        "log.csv: row 3, column 'ts': a number of seconds since 1970 is not negative; write dates before 1970 in ISO; "
        "found '-3'",
        "log.csv: row 3, column 'price': must be a finite number; found 'free'; 2 rows break it: also row 7 ('NA')",
    ]
    skipped = load(log={"where": "uid == 'b'", "on_bad_rows": "skip"}).named["log"]
    assert skipped.row.tolist() == [3, 6]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("price > 5", [4, 5]),  # but row 2, which is skipped
        ("price in (5, 7.5)", [1, 4, 5]),
        ("price == None", [0]),  # NA is a text, until it is compared with numbers
        ("price in (5, None)", [0, 1, 6]),
        ("price in ('5', None)", [0, 1]),
        ("price != '5'", [3, 4, 5, 6]),
        ("not price == 5", [0, 3, 4, 5, 6]),
        ("basket not in ('o1', 'o3')", [6]),
        ("ts == 25.0 or event == 'view' and sku == 's2'", [3, 4, 5]),
        ("price < ts", [1, 3, 4, 5]),
        ("event == 'view' and price == 2 or sku == 's1'", [0, 1, 3]),
    ],
)
def test_values_are_numbers_where_they_are_compared_with_numbers_and_else_texts(load, where, rows):
    found = load(log={"where": where, "on_bad_rows": "skip"}).named["log"]
    assert sorted(found.row.tolist()) == rows


@pytest.mark.parametrize("policy", ["refuse", "fill", "skip"])
def test_a_value_that_is_no_number_is_a_bad_row_where_it_decides(load, policy):
    decided = load(log={"where": "event == 'order' and price > 5", "on_bad_rows": policy})
    assert decided.named["log"].row.tolist() == [4, 5] and "left out" not in "".join(decided.notes)
    log = {"where": "price > 1 and sku != 'x'", "on_bad_rows": policy}
    said = "log.csv: row 3, column 'price': must be a number, as `where` compares it with one"
    if policy == "skip":
        assert load(log=log).notes[:2] == [
            f"data.tables.log: 1 rows left out (on_bad_rows: skip): {said}; found 'free'",
            "data.tables.log.where: 4 of 7 rows of log.csv fulfil \"price > 1 and sku != 'x'\"",
        ]
    else:
        cannot = " (fill cannot mend it; skip leaves such rows out)" if policy == "fill" else ""
        with pytest.raises(UserError) as error:
            load(log=log)
        assert str(error.value) == f"{said}{cannot}; found 'free'"


def test_each_column_that_holds_no_numbers_is_told(load):
    with pytest.raises(UserError) as error:
        load(log={"where": "uid > 1 or sku > 2"})
    assert [problem.partition(":")[2][:24] for problem in error.value.problems] == [
        " row 1, column 'uid': mu", " row 1, column 'sku': mu"
    ]  # fmt: skip
    Path("log.csv").write_text(LOG.replace("7.5", '"7,5"'))
    with pytest.raises(
        UserError, match=r"as `where` compares it with one \(with a decimal comma\? write decimal: ','\)"
    ):
        load(log={"where": "event == 'order' and price > 1"})


RULE = "a filter compares columns with numbers, texts or lists of them, joined by and, or, not"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("evnt == 'view'", ": evnt is no column of log.csv; did you mean 'event'?"),
        ("`a b` == 1", ": `a b` is no column of log.csv; known: basket, event, price, sku, ts, uid"),
        ("uid + 1 > 2", ": uid + 1 is no column; there are uid, sku, ts, event, price, basket"),
        ("event == ", f": 'event == ' cannot be read: invalid syntax; {RULE}"),
        ("event", f": event is no comparison; {RULE}"),
        ("ts > 'x'", ": ts > 'x' compares with what is no number; found 'x'"),
        ("ts == 9e16", f": 9e16 is no text, and no number of at most 9.0072e+15 in size; {RULE}"),
        (" ", " must be a text such as 'price < 20 and brand == \"x\"'; found ' '"),
        ("event == 'View'", ": \"event == 'View'\" leaves none of the 7 rows of log.csv; event holds 'view', 'order'"),
        ("ts < 0 and ts > 9", ": 'ts < 0 and ts > 9' leaves none of the 7 rows of log.csv"),
    ],
)  # fmt: skip
def test_what_is_no_condition_on_the_file_is_one_message_that_names_the_key(load, where, message):
    with pytest.raises(UserError) as error:
        load(log={"where": where})
    assert str(error.value) == f"data.tables.log.where{message}"


def test_a_file_that_is_read_by_a_wrong_separator_says_so(load):
    with pytest.raises(UserError, match=r"event is no column of log.csv; known: .*; write separator: \",\"$"):
        load(log={"where": "event == 'view'", "separator": ";"})


def test_texts_are_compared_as_ids_are(load):
    Path("log.csv").write_text(
        "uid,sku,ts,kind of,lot\na,s1,1, caf\u00e9,7.0\na,s2,2,cafe\u0301\u200b,7\na,s3,3,CAF\u00c9,8\n"
    )
    for where, rows in (
        ("`kind of` == 'cafe\u0301 '", [0, 1]), ("lot == '7'", [0, 1]), ("lot == '7.0'", [0, 1]), ("lot == 7", [0, 1])
    ):  # fmt: skip
        assert load(log={"where": where}).named["log"].row.tolist() == rows
    for where, rows in (("`kind of` == ' caf\u00e9'", [0]), ("lot == '7.0'", [0]), ("lot in (7, 8)", [0, 1, 2])):
        assert load(log={"where": where, "strip": False}).named["log"].row.tolist() == rows


def test_columns_of_a_condition_are_shown_as_such_and_others_are_not_held(load):
    tables = load(described=True, views={"where": "event == 'view' and ts > 0"}, orders={"where": "event == 'order'"})
    _, views, orders = tables.summaries
    assert [(column.name, column.use) for column in views.columns] == [
        ("uid", "user"), ("sku", "item"), ("ts", "time"), ("event", "where")
    ]  # fmt: skip
    assert (views.rows, views.columns[3].common, views.others) == (2, {"view": 2}, ["price", "basket"])
    assert (orders.rows, orders.columns[3].common) == (4, {"order": 4})


def test_items_users_queries_and_texts_have_conditions_too(load):
    Path("items.csv").write_text("id,title,of\ns1,One,item\ns1,Uno,item_es\nu1,,user\ns2,Two,item\n")
    Path("asked.csv").write_text("q,item,lang,grade\none,s1,en,1\none,s1,fr,2\n,s7,fr,x\nzwei,s2,de,0\n")
    tables = load_tables(
        DataConfig.model_validate(
            {
                "items": {"path": "items.csv", "id": "id", "text": "{title}", "where": "of == 'item'"},
                "users": {"path": "items.csv", "id": "id", "where": "of == 'user'"},
                "queries": {
                    "path": "asked.csv", "text": "{q}", "item": "item", "label": "grade", "where": "lang != 'fr'"
                },
                "texts": {"path": "asked.csv", "text": "{q}", "where": "lang == 'de' or lang == 'fr' and q != None"},
            }
        )
    ).named  # fmt: skip
    assert (tables["items"].ids, tables["items"].texts, tables["users"].ids) == (["s1", "s2"], ["One", "Two"], ["u1"])
    assert (tables["queries"].text, tables["queries"].label.tolist()) == (["one", "zwei"], [1, 0])
    assert tables["texts"].text == ["one", "zwei"] and tables["texts"].rows.labels("lang").to_pylist() == ["fr", "de"]
    assert tables["texts"].rows.place(1) == ("asked.csv", 4)


def test_events_of_a_catalogue_whose_condition_is_wrong_tell_their_own_mistakes(load):
    with pytest.raises(UserError) as error:
        load(log={}, items="x == 1")
    assert [problem.partition(" ")[0] for problem in error.value.problems] == ["data.tables.items.where:", "log.csv:"]


def written(frame: pd.DataFrame, form: str) -> str:
    """The frame as a file, or as several, of a form; returns the path to read."""
    path = Path(f"same.{form}")
    if form == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif form == "parquet":
        frame.to_parquet(path)
    elif form == "xlsx":
        pytest.importorskip("openpyxl", reason="comes with the extra excel")
        frame.to_excel(path, index=False)
    elif form == "several":
        for part in range(2):
            frame[3 * part : 3 * part + 3 + part].to_csv(f"part-{part}.csv", index=False)
        return "part-*.csv"
    elif form == "folder":
        for event, of in frame.groupby("event"):
            folder = Path(f"folder/event={event}")
            folder.mkdir(parents=True)
            pq.write_table(pa.Table.from_pandas(of.drop(columns="event"), preserve_index=False), folder / "0.parquet")
        return "folder"
    return str(path)


@pytest.mark.parametrize("form", ["csv.gz", "jsonl", "parquet", "xlsx", "several", "folder"])
def test_files_of_every_kind_have_conditions(load, form):
    frame = pd.read_csv("log.csv", dtype={"price": str}).assign(paid=[False, True, False, False, True, True, True])
    path = written(frame, form)
    found = load(log={"path": path, "where": "event == 'order' and paid == True and ts < 40"}).named["log"]
    assert (found.user_ids, found.item.tolist(), found.time.tolist()) == (["a"], [0, 1, 1], [20, 25, 25])
    # Of a folder the orders stand before the views.
    assert found.row.tolist() == ([0, 1, 2] if form == "folder" else [1, 4, 5])
    assert [count for _, count in found.files] == {"several": [3, 4], "folder": [4, 3]}.get(form, [7])


def test_a_split_by_files_follows_the_rows_that_belong(load):
    written(pd.read_csv("log.csv"), "several")
    split = {"kind": "given", "files": {"train": "*0.csv", "test": "*1.csv"}}
    found = load(log={"path": "part-*.csv", "where": "event == 'order'", "split": split}).named["log"]
    assert (found.row.tolist(), found.given) == ([1, 4, 5, 6], ["train", "test", "test", "test"])


COLUMNS = {
    "uid": st.sampled_from("abc"),
    "sku": st.sampled_from(["s1", "s2", "s3"]),
    "ts": st.integers(0, 9),
    "event": st.sampled_from(["view", "order", "return"]),
    "price": st.sampled_from([0.5, 1, 2.25, 3, None]),
}
CONDITIONS = {
    "event == 'view'": lambda f: f.event == "view",
    "event in ('order', 'return') and price >= 1": lambda f: f.event.isin(["order", "return"]) & (f.price >= 1),
    "not (price < 2 or ts > 5)": lambda f: ~((f.price < 2) | (f.ts > 5)),
    "price != 3 and uid != 'a'": lambda f: f.price.notna() & (f.price != 3) & (f.uid != "a"),
    "price == None or ts < price": lambda f: f.price.isna() | (f.ts < f.price),
    "1 <= ts < 8 and event not in ['view']": lambda f: (f.ts >= 1) & (f.ts < 8) & (f.event != "view"),
}


def contents(events):
    """All that events are, but for where their rows stood."""
    numbers = {name: column.astype(str).tolist() for name, column in events.features.numbers.items()}
    categories = {name: column.to_pylist() for name, column in events.features.categories.items()}
    arrays = (events.user, events.item, events.time)
    return events.user_ids, [of.tolist() for of in arrays], numbers, categories, events.given, events.impression


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.fixed_dictionaries(COLUMNS), min_size=4, max_size=30),
    st.sampled_from(list(CONDITIONS)),
    st.sampled_from(["csv", "parquet"]),
)
def test_a_table_is_that_of_a_file_which_was_filtered_before(tmp_path_factory, rows, where, form):
    folder = tmp_path_factory.mktemp("same")
    frame = pd.DataFrame(rows)
    kept = frame[CONDITIONS[where](frame)]
    for name, of in {"all": frame, "kept": kept}.items():
        path = folder / f"{name}.{form}"
        _ = of.to_csv(path, index=False) if form == "csv" else of.reset_index(drop=True).to_parquet(path)
    (folder / "items.csv").write_text(ITEMS)

    def read(name, **keys):
        log = EVENTS | {"path": f"{folder}/{name}.{form}", "features": {"price": "number", "event": "category"}} | keys
        items = {"kind": "items", "path": f"{folder}/items.csv", "id": "id", "text": "{title}"}
        return load_tables(DataConfig.model_validate({"tables": {"items": items, "log": log}})).named["log"]

    if kept.empty:
        with pytest.raises(UserError, match=f"leaves none of the {len(frame)} rows"):
            read("all", where=where)
        return
    ours, theirs = read("all", where=where), read("kept")
    assert np.array_equal(kept.index.to_numpy()[theirs.row], ours.row)
    assert list(ours.files) == [(f"{folder}/all.{form}", len(frame))]
    assert contents(ours) == contents(theirs)
