import datetime as dt

import pyarrow as pa
import pytest

from peftrec.data.rows import Rows
from peftrec.data.templates import parse_template, template_columns, texts_of
from peftrec.errors import UserError


def rows(**columns):
    return Rows("f.csv", pa.table({name: pa.array(values) for name, values in columns.items()}))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("plain", "names at least one column"),
        ("{}", "plain column names"),
        ("{a:>3}", "plain column names"),
        ("{a!r}", "plain column names"),
        ("{a", "expected '}'"),
    ],
)
def test_a_wrong_template_names_its_key(template, reason):
    with pytest.raises(UserError) as error:
        parse_template(template, "data.items.text")
    assert str(error.value).startswith("data.items.text: ") and reason in str(error.value)
    assert repr(template) in str(error.value)


def test_the_columns_of_a_template_stand_in_its_order():
    assert template_columns("{b} ({a}) {{not}}", "k") == ["b", "a"]


def test_a_template_is_filled_from_any_type_of_column():
    table = rows(title=["Heat", "Up", None], year=[1995.0, None, 2009.0], genres=[["Crime", "Drama"], [], None])
    assert texts_of(table, "{title} ({year}). {genres}!", "k") == [
        "Heat (1995). Crime, Drama!",
        "Up (). !",
        " (2009). !",
    ]


def test_dates_and_missing_numbers_read_as_people_write_them():
    table = rows(day=[dt.datetime(1995, 1, 31), None], number=pa.array([float("nan"), 0.5]))
    assert texts_of(table, "{day}|{number}", "k") == ["1995-01-31|", "|0.5"]


def test_braces_are_written_twice():
    assert texts_of(rows(a=["x"]), "{{{a}}}", "k") == ["{x}"]


def test_a_text_whose_columns_are_all_blank_is_refused():
    with pytest.raises(UserError, match=r"f\.csv: row 2, column 'a, b': the text must not be empty; found ''"):
        texts_of(rows(a=["x", " "], b=["", None]), "{a} ({b})", "k")


def test_a_missing_column_lists_those_there_are():
    with pytest.raises(UserError, match=r"f\.csv: no column 'titel'; its columns are title, year"):
        texts_of(rows(title=["x"], year=[1]), "{titel}", "k")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("encoded", [False, True])
def test_texts_of_columns_of_any_width(kind, encoded):
    titles = pa.array(["Heat", "Up"], kind)
    table = rows(title=titles.dictionary_encode() if encoded else titles, year=pa.array(["1995", None], pa.string()))
    assert texts_of(table, "{title} ({year})!", "k") == ["Heat (1995)!", "Up ()!"]
    assert table.strings("title").to_pylist() == ["Heat", "Up"]
