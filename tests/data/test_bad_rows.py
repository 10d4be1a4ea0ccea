"""Rows that break a rule: told together, or left out with `on_bad_rows: skip`, each known by where it stood."""

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
