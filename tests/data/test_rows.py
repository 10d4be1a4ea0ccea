import datetime as dt
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.rows import Rows, from_iso, parse_template
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


def rows(**columns):
    return Rows("f.csv", pa.table({name: pa.array(values) for name, values in columns.items()}))


def test_a_template_is_filled_from_any_type_of_column():
    table = rows(title=["Heat", "Up", None], year=[1995.0, None, 2009.0], genres=[["Crime", "Drama"], [], None])
    assert table.texts("{title} ({year}). {genres}!", "k") == ["Heat (1995). Crime, Drama!", "Up (). !", " (2009). !"]


def test_dates_and_missing_numbers_read_as_people_write_them():
    table = rows(day=[dt.datetime(1995, 1, 31), None], number=pa.array([float("nan"), 0.5]))
    assert table.texts("{day}|{number}", "k") == ["1995-01-31|", "|0.5"]


def test_braces_are_written_twice():
    assert rows(a=["x"]).texts("{{{a}}}", "k") == ["{x}"]


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


def test_a_text_whose_columns_are_all_blank_is_refused():
    with pytest.raises(UserError, match=r"f\.csv: row 2, column 'a, b': the text must not be empty; found ''"):
        rows(a=["x", " "], b=["", None]).texts("{a} ({b})", "k")


def test_a_missing_column_lists_those_there_are():
    with pytest.raises(UserError, match=r"f\.csv: no column 'titel'; its columns are title, year"):
        rows(title=["x"], year=[1]).texts("{titel}", "k")


def test_a_nested_column_is_refused():
    with pytest.raises(UserError, match=r"f\.csv: column 'a': needs plain values; found struct"):
        rows(a=[{"b": 1}]).strings("a")


def test_ids_are_text():
    assert rows(a=[1, 2]).unique_ids("a").to_pylist() == ["1", "2"]
    assert rows(a=[1.0, 2.0]).unique_ids("a").to_pylist() == ["1", "2"]
    assert rows(a=["01", "1"]).unique_ids("a").to_pylist() == ["01", "1"]


def test_wrong_ids_name_row_and_value():
    with pytest.raises(UserError, match=r"row 3, column 'a': must be unique, and row 1 has it already; found 'x'"):
        rows(a=["x", "y", "x", "y"]).unique_ids("a")
    with pytest.raises(UserError, match=r"row 2, column 'a': must not be empty; found ' '"):
        rows(a=["x", " "]).unique_ids("a")
    with pytest.raises(UserError, match=r"row 2, column 'a': must not be empty"):
        rows(a=[1, None]).ids("a")
    with pytest.raises(UserError, match=r"row 2, column 'a': must be an id of data\.items; found 'z'"):
        rows(a=["x", "z"]).lookup("a", pa.array(["x", "y"]), "data.items")


@given(st.lists(st.text(min_size=1, max_size=3), max_size=20))
def test_repeated_ids_are_found_exactly_when_there_are_any(ids):
    ids = [f"i{name}" for name in ids]
    table = Rows("f.csv", pa.table({"a": pa.array(ids, pa.string())}), FileConfig(path="", strip=False))
    if len(set(ids)) == len(ids):
        assert table.unique_ids("a").to_pylist() == ids
    else:
        with pytest.raises(UserError, match="must be unique"):
            table.unique_ids("a")


def test_numbers_come_from_text_and_booleans_too():
    assert rows(a=["1", " -2.5", "3e2", ".5"]).numbers("a").tolist() == [1, -2.5, 300, 0.5]
    assert rows(a=[True, False]).numbers("a").tolist() == [1, 0]
    assert rows(a=[1, 2]).numbers("a").dtype == np.float64


@pytest.mark.parametrize(
    ("values", "row", "found"),
    [
        (["1", "four"], 2, "'four'"),
        (["1", "", "2"], 2, "''"),
        (["nan"], 1, "'nan'"),
        (["1", "inf"], 2, "'inf'"),
        (["1_000"], 1, "'1_000'"),
        ([1.0, None], 2, "None"),
        ([1.0, 2.0, float("nan")], 3, "nan"),
        ([float("inf")], 1, "inf"),
        ([1, None], 2, "None"),
    ],
)
def test_a_value_that_is_no_number_is_named(values, row, found):
    with pytest.raises(UserError) as error:
        rows(rating=values).numbers("rating")
    assert str(error.value) == f"f.csv: row {row}, column 'rating': must be a finite number; found {found}"


@pytest.mark.parametrize(("values", "found"), [([1.0, 1e300], "1e+300"), (["1", "-1e300"], "'-1e300'")])
def test_a_number_whose_square_32_bits_cannot_hold_is_named(values, found):
    assert rows(rating=[1e18, -1e18]).numbers("rating").tolist() == [1e18, -1e18]
    with pytest.raises(UserError) as error:
        rows(rating=values).numbers("rating")
    rule = "must be at most 1e+18 in size, so that 32-bit numbers hold its square"
    assert str(error.value) == f"f.csv: row 2, column 'rating': {rule}; found {found}"


def test_a_long_value_is_cut():
    with pytest.raises(UserError) as error:
        rows(rating=["x" * 20_000]).numbers("rating")
    cut = f"{'x' * 200!r}... (20,000 letters)"
    assert str(error.value) == f"f.csv: row 1, column 'rating': must be a finite number; found {cut}"


MOMENT = dt.datetime(2024, 5, 31, 18, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "value",
    [
        MOMENT.timestamp(),
        int(MOMENT.timestamp()),
        str(int(MOMENT.timestamp())),
        "2024-05-31T18:00:00",
        "2024-05-31 18:00:00",
        "2024-05-31T18:00:00Z",
        "2024-05-31T20:00:00+02:00",
        MOMENT,
        MOMENT.replace(tzinfo=None),
    ],
)
def test_times_in_every_form_mean_the_same_moment(value):
    assert rows(t=[value]).times("t").tolist() == [MOMENT.timestamp()]


def test_dates_and_forms_mixed_in_one_column():
    assert rows(t=[dt.date(1970, 1, 2)]).times("t").tolist() == [86_400]
    assert rows(t=["1970-01-02", "5", "1970-01-01T00:00:01.5"]).times("t").tolist() == [86_400, 5, 1.5]


@pytest.mark.parametrize(
    ("values", "row", "rule"),
    [
        (
            ["5", "yesterday"],
            2,
            "must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00; found 'yesterday'",
        ),
        (["5", ""], 2, "must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00; found ''"),
        ([5.0, None], 2, "must be a finite number; found None"),
        ([MOMENT, None], 2, "must be a time; found None"),
        (["2024-01-01", "2999-01-01"], 2, "a time must not lie in the future; found '2999-01-01'"),
        (
            [1_700_000_000_000],
            1,
            "a time must not lie in the future (in milliseconds? give seconds); write time_unit: ms; found "
            "1700000000000",
        ),
    ],
)
def test_a_wrong_time_is_named(values, row, rule):
    with pytest.raises(UserError) as error:
        rows(ts=values).times("ts")
    assert str(error.value) == f"f.csv: row {row}, column 'ts': {rule}"


def test_a_time_zone_ahead_is_not_the_future():
    assert len(rows(t=[time.time() + 3600 * 14]).times("t")) == 1
    with pytest.raises(UserError, match="future"):
        rows(t=[time.time() + 3600 * 25]).times("t")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00:00", 3_600),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.250Z", 0.25),
    ],
)
def test_an_iso_time_is_in_utc_unless_it_says_otherwise(text, seconds):
    assert from_iso(text) == seconds
