"""Rows that break a rule: told together, or with `on_bad_rows` left out (skip) or filled in (fill), each known by where
it stood."""

from pathlib import Path

import numpy as np
import pytest

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig

ITEMS = "id,title\ni1,Heat\ni2,\ni3,Big\ni4, \ni3,Bigger\n"
EVENTS = ["a,i1,10,1\na,i9,20,2\nb,i3,30,x\n", "b,i1,-5,4\n,i1,50,5\na,i3,60,6\n"]


def data(folder: Path, policy: dict[str, str]) -> DataConfig:
    (folder / "items.csv").write_text(ITEMS)
    for number, rows in enumerate(EVENTS):
        (folder / f"log-{number}.csv").write_text(f"user,item,time,rating\n{rows}")
    items = {"path": f"{folder}/items.csv", "id": "id", "text": "{title}"}
    events = {"path": f"{folder}/log-*.csv", "user": "user", "item": "item", "time": "time", "columns": ["rating"]}
    given = {"items": items, "events": events}
    return DataConfig.model_validate({n: of | {"on_bad_rows": policy.get(n, "refuse")} for n, of in given.items()})


def test_all_rows_that_break_a_rule_are_told_at_once(tmp_path):
    with pytest.raises(UserError) as error:
        load_tables(data(tmp_path, {}))
    items, first, second = (tmp_path / name for name in ("items.csv", "log-0.csv", "log-1.csv"))
    assert error.value.problems == [
        f"{items}: row 5, column 'id': must be unique, and row 3 has it already; found 'i3'",
        f"{items}: row 2, column 'title': the text must not be empty; found ''; 2 rows break it: also row 4 ('')",
        f"{second}: row 2, column 'user': must not be empty; found ''",
        f"{second}: row 1, column 'time': a number of seconds since 1970 is not negative; write dates before 1970 in "
        "ISO; found '-5'",
        f"{first}: row 3, column 'rating': must be a finite number; found 'x'",
    ]


def test_unknown_ids_are_told_beside_a_catalogue_s_own_mistakes_where_its_ids_are_right(tmp_path):
    config = data(tmp_path, {})
    (tmp_path / "items.csv").write_text("id,title\ni1,Heat\ni2,\ni3,Big\n")
    with pytest.raises(UserError) as error:
        load_tables(config)
    assert [of.partition("column ")[2].partition(";")[0] for of in error.value.problems][:3] == [
        "'title': the text must not be empty",
        "'user': must not be empty",
        "'item': must be an id of data.items",
    ]


def test_rows_left_out_are_counted_by_rule_and_the_others_keep_their_places(tmp_path):
    tables = load_tables(data(tmp_path, {"items": "skip", "events": "skip"}))
    items, events = tables.named["items"], tables.named["events"]
    assert (items.ids, items.texts) == (["i1", "i3"], ["Heat", "Big"])
    assert (events.user_ids, events.user.tolist(), events.item.tolist()) == (["a"], [0, 0], [0, 1])
    assert (events.time.tolist(), events.columns["rating"].tolist()) == ([10, 60], [1, 6])
    assert events.row.tolist() == [0, 5]
    assert list(events.files) == [(f"{tmp_path}/log-0.csv", 3), (f"{tmp_path}/log-1.csv", 3)]
    said = [note.partition(": ")[0] + note.partition(", column")[2] for note in tables.notes]
    assert len([note for note in tables.notes if " rows left out (on_bad_rows: skip): " in note]) == len(said) == 6
    assert tables.notes[1] == (
        f"data.items: 2 rows left out (on_bad_rows: skip): {tmp_path}/items.csv: row 2, column 'title': the text must "
        "not be empty; found ''; 2 rows break it: also row 4 ('')"
    )
    assert "data.events 'item': must be an id of data.items; found 'i9'" in said


def test_the_policy_is_a_table_s_own(tmp_path):
    with pytest.raises(UserError) as error:
        load_tables(data(tmp_path, {"events": "skip"}))
    assert len(error.value.problems) == 2 and all("items.csv" in problem for problem in error.value.problems)


def test_what_concerns_a_whole_column_or_leaves_no_row_is_refused(tmp_path):
    config = data(tmp_path, {"events": "skip", "items": "skip"})
    for number in range(2):
        (tmp_path / f"log-{number}.csv").write_text("user,item,time,rating\na,i1,20240601,1\n,i1,20240602,1\n")
    with pytest.raises(UserError, match="looks like a date written YYYYMMDD; write time_format"):
        load_tables(config)
    for number in range(2):
        (tmp_path / f"log-{number}.csv").write_text("user,item,time,rating\na,i7,5,1\n")
    with pytest.raises(UserError, match=r"must be an id of data.items; found 'i7'; 2 rows break it: also .*log-1.csv"):
        load_tables(config)


@pytest.mark.parametrize(("bad", "advice"), [(1, " (on_bad_rows: skip leaves such rows out)"), (2, "")])
def test_of_few_wrong_rows_is_told_how_to_leave_them_out(tmp_path, bad, advice):
    (tmp_path / "texts.csv").write_text("text,label\n" + "hi,a\n" * (100 - bad) + ",b\n" * bad)
    config = DataConfig.model_validate({"texts": {"path": f"{tmp_path}/texts.csv", "text": "{text}"}})
    with pytest.raises(UserError) as told:
        load_tables(config)
    assert f"row {101 - bad}, column 'text': the text must not be empty{advice}; found ''" in str(told.value)


def test_a_split_by_files_follows_the_rows_that_are_left(tmp_path):
    for name, rows in (("train", "hi,1\n,2\nho,3"), ("test", ",4\nha,5\n")):
        (tmp_path / f"{name}.csv").write_text(f"text,price\n{rows}\n")
    split = {"kind": "given", "files": {"train": "train*", "test": "test*"}}
    texts = {"path": f"{tmp_path}/*.csv", "text": "{text}", "split": split, "on_bad_rows": "skip"}
    table = load_tables(DataConfig.model_validate({"texts": texts})).named["texts"]
    assert (table.text, table.given) == (["ha", "hi", "ho"], ["test", "train", "train"])
    assert table.rows.origins.tolist() == [1, 2, 4]
    assert [table.rows.place(row) for row in range(3)] == [
        (f"{tmp_path}/test.csv", 2), (f"{tmp_path}/train.csv", 1), (f"{tmp_path}/train.csv", 3)
    ]  # fmt: skip


def test_a_value_that_may_be_missing_counts_as_missing(tmp_path):
    (tmp_path / "texts.csv").write_text("text,price\na,1\nb,cheap\nc,\nd,1e30\n")
    texts = {"path": f"{tmp_path}/texts.csv", "text": "{text}", "on_bad_rows": "skip"}
    table = load_tables(DataConfig.model_validate({"texts": texts})).named["texts"]
    assert np.array_equal(table.rows.numbers("price", missing=True), [1, np.nan, np.nan, np.nan], equal_nan=True)
    assert [note.partition(": ")[0] for note in table.rows.notes] == ["1 values count as missing (on_bad_rows"] * 2
    assert table.rows.notes[0].endswith("texts.csv: row 2, column 'price': must be a finite number; found 'cheap'")


FILLED = "id,title,price\ni1,Heat,3\ni2,,4\ni3,Big,cheap\ni4, ,\n"
CANNOT = " (fill cannot mend it; skip leaves such rows out); found "


def filled(folder: Path, **changes: dict) -> DataConfig:
    """Items of which two have no text, and two logs that name items which they lack; all are filled in."""
    (folder / "items.csv").write_text(FILLED)
    (folder / "likes.csv").write_text("who,what,at,hour\na,i9,10,1\na,i1,20,x\nb,i8,30,\nb,i9,40,4\n")
    (folder / "buys.csv").write_text("who,what\na,i7\nc,i9\nc,i2\n")
    fill, log = {"on_bad_rows": "fill"}, {"user": "who", "item": "what"}
    likes = {"kind": "events", "path": f"{folder}/likes.csv", "time": "at", "features": {"hour": "number"}}
    tables = {
        "items": {"path": f"{folder}/items.csv", "id": "id", "text": "{title}", "features": {"price": "number"}} | fill,
        "tables": {
            "likes": likes | log | fill,
            "buys": {"kind": "events", "path": f"{folder}/buys.csv"} | log | fill,
        },
    }
    for name, change in changes.items():
        place = tables if name in tables else tables["tables"]
        place[name] = place.get(name, {}) | change
    return DataConfig.model_validate(tables)


def test_items_without_a_text_stay_and_those_that_only_events_name_join_them(tmp_path):
    tables = load_tables(filled(tmp_path))
    items, likes, buys = (tables.named[name] for name in ("items", "likes", "buys"))
    assert items.ids == ["i1", "i2", "i3", "i4", "i9", "i8", "i7"]
    assert items.texts == ["Heat", "i2", "Big", "i4", "i9", "i8", "i7"]
    assert items.columns == {"title": ["Heat", "", "Big", " ", "", "", ""]}
    assert np.array_equal(items.features.numbers["price"], [3, 4, *[np.nan] * 5], equal_nan=True)
    assert (likes.user_ids, likes.item.tolist()) == (["a", "b"], [4, 0, 5, 4])
    assert np.array_equal(likes.features.numbers["hour"], [1, np.nan, np.nan, 4], equal_nan=True)
    assert (buys.user_ids, buys.item.tolist()) == (["a", "c"], [6, 4, 1])
    assert tables.notes == [
        f"data.items.text: 2 rows have their id as text (on_bad_rows: fill): {tmp_path}/items.csv: row 2, column "
        "'title': the text must not be empty; found ''; 2 rows break it: also row 4 ('')",
        f"1 values count as missing (on_bad_rows: fill): {tmp_path}/items.csv: row 3, column 'price': must be a finite "
        "number; found 'cheap'",
        "data.items.text: 2 of 4 rows have no title",
        "data.tables.likes: 3 rows add 2 items to data.items, with their ids as texts (on_bad_rows: fill): "
        f"{tmp_path}/likes.csv: row 1, column 'what': must be an id of data.items; found 'i9'; 3 rows break it: also "
        "row 3 ('i8'), row 4 ('i9')",
        f"1 values count as missing (on_bad_rows: fill): {tmp_path}/likes.csv: row 2, column 'hour': must be a finite "
        "number; found 'x'",
        "data.tables.buys: 1 rows add 1 items to data.items, with their ids as texts (on_bad_rows: fill): "
        f"{tmp_path}/buys.csv: row 1, column 'what': must be an id of data.items; found 'i7'",
    ]


def test_what_one_log_adds_is_unknown_to_another_that_does_not_fill(tmp_path):
    for policy in ({"likes": {"on_bad_rows": "refuse"}}, {"buys": {"on_bad_rows": "refuse"}}):
        with pytest.raises(UserError, match=r"must be an id of data\.items; found 'i[79]'"):
            load_tables(filled(tmp_path, **policy))
    buys = load_tables(filled(tmp_path, buys={"on_bad_rows": "skip"})).named["buys"]
    assert (buys.user_ids, buys.item.tolist()) == (["c"], [1])


def test_what_cannot_be_filled_is_refused_all_at_once(tmp_path):
    config = filled(tmp_path)
    (tmp_path / "items.csv").write_text("id,title,price\ni1,Heat,3\ni1,,4\n,Big,\n")
    (tmp_path / "likes.csv").write_text("who,what,at,hour\na,i9,-10,1\n,i1,20,x\nb,,30,\n")
    with pytest.raises(UserError) as error:
        load_tables(config)
    assert error.value.problems == [
        f"{tmp_path}/items.csv: row 3, column 'id': must not be empty{CANNOT}''",
        f"{tmp_path}/likes.csv: row 2, column 'who': must not be empty{CANNOT}''",
        f"{tmp_path}/likes.csv: row 3, column 'what': must not be empty{CANNOT}''",
        f"{tmp_path}/likes.csv: row 1, column 'at': a number of seconds since 1970 is not negative; write dates before "
        f"1970 in ISO{CANNOT}'-10'",
    ]


def test_a_labelled_text_and_a_query_need_a_text_and_so_does_a_query_s_item(tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\nhi,1\n,2\n")
    texts = {"path": f"{tmp_path}/texts.csv", "text": "{text}", "on_bad_rows": "fill"}
    with pytest.raises(UserError) as error:
        load_tables(DataConfig.model_validate({"texts": texts}))
    said = f"texts.csv: row 2, column 'text': the text must not be empty{CANNOT}''"
    assert error.value.problems == [f"{tmp_path}/{said}"]
    (tmp_path / "asked.csv").write_text("q,of\nheat,i1\n,i3\nwhat,i4\nwho,i9\n")
    asked = {"kind": "queries", "path": f"{tmp_path}/asked.csv", "text": "{q}", "item": "of", "on_bad_rows": "fill"}
    with pytest.raises(UserError) as error:
        load_tables(filled(tmp_path, asked=asked))
    assert error.value.problems == [
        f"{tmp_path}/asked.csv: row 2, column 'q': the text must not be empty{CANNOT}''",
        f"{tmp_path}/asked.csv: row 4, column 'of': must be an id of data.items{CANNOT}'i9'",
    ]
    (tmp_path / "asked.csv").write_text("q,of\nheat,i1\nwhat,i4\n")
    with pytest.raises(
        UserError, match=r"asked.csv: row 2, column 'of': a query's item must have a text \(fill .*'i4'"
    ):
        load_tables(filled(tmp_path, asked=asked))
    queries = load_tables(filled(tmp_path, asked=asked | {"on_bad_rows": "skip"})).named["asked"]
    assert (queries.text, queries.item.tolist()) == (["heat"], [0])


def test_users_without_a_text_are_filled_in_too_and_a_repeated_row_counts_once(tmp_path):
    (tmp_path / "users.csv").write_text("id,bio\nu1,\nu2,likes jazz\nu1,\n")
    (tmp_path / "friends.csv").write_text("who,whom\nu1,u2\nu2,u3\n")
    fill = {"on_bad_rows": "fill"}
    friends = {"path": f"{tmp_path}/friends.csv", "user": "who", "item": "whom", "items": "users"}
    users = {"path": f"{tmp_path}/users.csv", "id": "id", "text": "{bio}"}
    tables = load_tables(DataConfig.model_validate({"users": users | fill, "events": friends | fill}))
    people = tables.named["users"]
    assert (people.ids, people.texts) == (["u1", "u2", "u3"], ["u1", "likes jazz", "u3"])
    assert tables.named["events"].item.tolist() == [1, 2]
    assert [note.partition(" (on")[0] for note in tables.notes if "fill" in note] == [
        "data.users.text: 2 rows have their id as text",
        "data.events: 1 rows add 1 items to data.users, with their ids as texts",
    ]
