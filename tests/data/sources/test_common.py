"""What sources share: of people's folders the files, of files the rows that can be used."""

import pyarrow as pa
import pytest

from peftrec.data.rows import Rows
from peftrec.data.sources.common import described_items, of_known_items, only_file, text_of_columns
from peftrec.errors import UserError


def rows(**columns):
    return Rows("items.csv", pa.table(columns))


def test_texts_are_what_columns_say():
    table = rows(title=["Heat", " ", "Up"], year=["1995", "", None], kind=["Crime\n Drama", "UNKNOWN", ""])
    assert text_of_columns(table, ["title", "year", "kind"]) == ["Heat. 1995. Crime Drama", "UNKNOWN", "Up"]
    assert text_of_columns(table, ["title", "kind"], absent="UNKNOWN") == ["Heat. Crime Drama", "", "Up"]


def test_items_without_a_text_and_repeated_ids_are_left_out_and_noted():
    items = described_items(rows(id=["a", "b", "a", "c", "b"]), "id", ["", "B", "A", "C", "again"])
    assert (items.ids, items.texts) == (["b", "a", "c"], ["B", "A", "C"])
    assert items.notes == [
        "items.csv: 1 of 5 items have no text, and are left out",
        "items.csv: 1 rows repeat an item's id; its first row is taken",
    ]
    assert described_items(rows(id=["a"]), "id", ["A"]).notes == []


def test_rows_of_unknown_items_are_left_out_and_noted():
    items = described_items(rows(id=["a", "b"]), "id", ["A", "B"])
    log = Rows("log.csv", pa.table({"item": ["x", "a", "y", "b", "x"], "n": range(5)}))
    kept, notes = of_known_items(log, "item", items)
    assert kept.table["n"].to_pylist() == [1, 3]
    assert notes == ["log.csv: 3 of 5 rows are of 2 items without a text, such as 'x', and are left out"]
    assert of_known_items(kept, "item", items) == (kept, [])
    with pytest.raises(UserError, match=r"log\.csv: column 'item': no row's item has a text, such as 'x'"):
        of_known_items(Rows("log.csv", pa.table({"item": ["x"]})), "item", items)


def test_the_one_file_of_a_form(tmp_path):
    one, two = tmp_path / "a.x", tmp_path / "b.x"
    assert only_file(tmp_path, "NAME.x", [one]) == one
    with pytest.raises(UserError, match=r"must hold one file NAME\.x; found a\.x, b\.x"):
        only_file(tmp_path, "NAME.x", [one, two])
    with pytest.raises(UserError, match=r"must hold one file NAME\.x; there is none"):
        only_file(tmp_path, "NAME.x", [])
    with pytest.raises(UserError, match=r"data\.path: no such folder"):
        only_file(tmp_path / "no", "NAME.x", [])
