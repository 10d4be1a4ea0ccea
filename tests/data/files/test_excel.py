import builtins
import datetime as dt

import openpyxl
import pytest

from peftrec.data.files import read_rows
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


def read(file, columns=None, **keys):
    return read_rows(FileConfig(path=str(file), **keys), "k", columns)


@pytest.fixture
def book(tmp_path):
    def book(*rows, more=()):
        made = openpyxl.Workbook()
        for row in rows:
            made.active.append(row)
        for name in more:
            made.create_sheet(name)
        made.save(tmp_path / "a.xlsx")
        return tmp_path / "a.xlsx"

    return book


def test_cells_are_what_they_are(book):
    moment = dt.datetime(2024, 5, 31, 18)
    file = book(
        ["id", " title ", None, "when", "price"],
        [7, "Heat", "x", moment, 19.99],
        [],
        ["007", 1984, None, dt.datetime(2024, 6, 1), 5.0],
    )
    rows = read(file)
    assert rows.names == ["id", "title", "when", "price"]
    assert rows.ids("id").to_pylist() == ["7", "007"]
    assert rows.strings("title").to_pylist() == ["Heat", "1984"]
    assert rows.times("when").tolist() == [1717178400.0, 1717200000.0]
    assert rows.numbers("price").tolist() == [19.99, 5.0]
    assert read(file, ["title"]).table.column_names == ["title"]
    assert rows.notes == []


def test_columns_without_a_name_are_left_out(book):
    assert read(book(["a"], [1, 2])).table.to_pydict() == {"a": [1]}


def test_the_first_sheet_is_read_and_others_are_named(book, tmp_path):
    rows = read(book(["a"], [1], more=["notes"]))
    assert rows.notes == [f"{tmp_path}/a.xlsx: the first of its 2 sheets is read, 'Sheet'"]


def test_a_sheet_without_a_header(book):
    file = book([1, "x"], [2, "y"])
    assert read(file, header=False, names=["a", "b"]).table.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    with pytest.raises(UserError, match="rows have 2 cells, and 3 columns have names"):
        read(file, header=False, names=["a", "b", "c"])


def test_sheets_that_are_no_tables_are_refused(book):
    with pytest.raises(UserError, match="its first sheet holds no rows"):
        read(book(["a"]))
    with pytest.raises(UserError, match=r"the first row must name the columns, each once; found \['a', 'a'\]"):
        read(book(["a", "a"], [1, 2]))
    with pytest.raises(UserError, match=r"k\.separator: is not read of an Excel file"):
        read(book(["a"], [1]), separator=";")


def test_the_package_that_is_missing_is_named_with_the_command(book, monkeypatch):
    file, usual = book(["a"], [1]), builtins.__import__

    def without(name, *arguments, **options):
        if name == "openpyxl":
            raise ModuleNotFoundError(name)
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"openpyxl, which is not installed: `pip install 'peftrec\[excel\]'`, or save"):
        read(file)
