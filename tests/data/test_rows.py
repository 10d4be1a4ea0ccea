import datetime as dt
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.rows import Rows
from peftrec.data.templates import texts_of
from peftrec.errors import UserError
from peftrec.recipe import EventsConfig, FileConfig


def rows(**columns):
    return Rows("f.csv", pa.table({name: pa.array(values) for name, values in columns.items()}))


def test_a_nested_column_is_refused():
    with pytest.raises(UserError, match=r"f\.csv: column 'a': needs plain values; found struct"):
        rows(a=[{"b": 1}]).strings("a")


def test_ids_are_text():
    assert rows(a=[1, 2]).unique_ids("a").to_pylist() == ["1", "2"]
    assert rows(a=[1.0, 2.0]).unique_ids("a").to_pylist() == ["1", "2"]
    assert rows(a=["01", "1"]).unique_ids("a").to_pylist() == ["01", "1"]


def test_rows_that_repeat_an_id_with_the_same_values_count_once():
    table = rows(id=["x", "y", "x", "y"], title=["a", "b", "a", "b"], n=[1, 2, 3, 4])
    assert table.each_once("id", ["title"]).table.to_pydict() == {"id": ["x", "y"], "title": ["a", "b"], "n": [1, 2]}
    assert rows(id=["x", "y"]).each_once("id", []).table.num_rows == 2
    with pytest.raises(UserError, match=r"row 3, column 'id': must be unique, and row 1 has it already; found 'x'"):
        table.each_once("id", ["title", "n"])


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


def test_ids_lose_the_spaces_around_them_with_a_note():
    table = rows(user=["10", "10 ", " 10", "b"])
    ids = table.ids("user")
    assert (ids.indices.to_pylist(), ids.dictionary.to_pylist()) == ([0, 0, 0, 1], ["10", "b"])
    assert table.ids("user") == ids
    assert table.notes == [
        "f.csv: column 'user': 2 of 4 values, such as '10 ', are read as '10' is; 4 different values become 2 "
        "(strip: false reads them as they are)"
    ]
    apart = Rows("f.csv", table.table, FileConfig(path="", strip=False))
    assert apart.ids("user").dictionary.to_pylist() == ["10", "10 ", " 10", "b"] and apart.notes == []


def test_labels_lose_the_spaces_around_them_but_not_their_case():
    table = rows(label=["pos", "pos ", " neg", "Pos", None, ""])
    assert table.labels("label").to_pylist() == ["pos", "pos", "neg", "Pos", "", ""]
    assert "2 of 6 values, such as 'pos ', are read as 'pos' is" in table.notes[0]


def test_ids_that_strip_to_one_are_refused_in_a_catalogue():
    with pytest.raises(UserError) as error:
        rows(id=["10", "11", "10 "]).unique_ids("id")
    assert str(error.value) == (
        "f.csv: row 3, column 'id': must be unique, and row 1 has it already, written '10' (strip: false keeps them "
        "apart); found '10 '"
    )


def test_whole_numbers_lose_their_point_where_all_ids_are_such():
    table = rows(id=["1.0", "2.0", "30"])
    assert table.unique_ids("id").to_pylist() == ["1", "2", "30"]
    assert "2 of 3 values, such as '1.0', are read as '1' is" in table.notes[0]
    assert table.lookup("id", pa.array(["30", "2", "1"]), "data.items").tolist() == [2, 1, 0]
    assert rows(version=["1.0", "1.5"]).ids("version").to_pylist() == ["1.0", "1.5"]


def test_true_and_false_are_numbers_where_all_are_such():
    assert rows(a=["True", "False", "TRUE"]).numbers("a").tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="row 1, column 'a': must be a finite number; found 'True'"):
        rows(a=["True", "1"]).numbers("a")


def test_missing_numbers_are_nan_where_they_may_be():
    for values in (["1", "", "NA", "nan", "n/a", "NULL", "None"], [1.0, None, float("nan")], [1, None]):
        assert np.isnan(rows(a=values).numbers("a", missing=True)).tolist() == [False] + [True] * (len(values) - 1)
    with pytest.raises(UserError, match="row 2, column 'a': must be a finite number; found 'inf'"):
        rows(a=["", "inf"]).numbers("a", missing=True)


def test_a_decimal_comma_is_read_where_the_recipe_says_so_and_named_where_not():
    table = pa.table({"a": ["3,5", "4"]})
    assert Rows("f.csv", table, FileConfig(path="", decimal=",")).numbers("a").tolist() == [3.5, 4]
    with pytest.raises(UserError, match=r"must be a finite number .with a decimal comma\? write decimal: ','.; found"):
        Rows("f.csv", table).numbers("a")


def test_32_bits_are_read_as_they_were_written():
    table = Rows("f.parquet", pa.table({"a": pa.array([0.7, 0.1], pa.float32())}))
    assert table.numbers("a").tolist() == [0.7, 0.1]
    assert texts_of(table, "{a}", "k") == ["0.7", "0.1"]
    assert table.ids("a").to_pylist() == ["0.7", "0.1"]


def timed(values, **keys):
    config = EventsConfig(path="", user="u", item="i", time="t", **keys)
    return Rows("f.csv", pa.table({"t": pa.array(values)}), config).times("t").tolist()


def test_times_are_read_by_their_unit_or_format():
    moment = MOMENT.timestamp()
    assert timed([moment * 1e3], time_unit="ms") == [moment]
    assert timed([str(int(moment * 1e6))], time_unit="us") == [moment]
    assert timed(["45443,75"], time_unit="excel", decimal=",") == [moment]
    assert timed(["20240531", "20240601"], time_format="%Y%m%d") == [moment - 18 * 3600, moment + 6 * 3600]
    assert timed([20240531], time_format="%Y%m%d") == [moment - 18 * 3600]
    assert timed([2024.0], time_format="%Y") == [dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()]
    assert timed(["31.5.2024 18:00"], time_format="%d.%m.%Y %H:%M") == [moment]
    assert timed([20240531], time_unit="s") == [20240531]


@pytest.mark.parametrize(
    ("values", "keys", "message"),
    [
        (
            ["20240531"],
            {},
            "row 1, column 't': must be seconds since 1970, and this looks like a date written",
        ),
        (["2024-05-31", "20240531"], {}, "row 2, column 't': must be seconds since 1970, and this looks like a date"),
        ([-5], {}, "row 1, column 't': a number of seconds since 1970 is not negative"),
        (
            ["31.5.2024"],
            {"time_format": "%Y%m%d"},
            "row 1, column 't': must be a time such as %Y%m%d; found '31",
        ),
        (["2024-05-31"], {"time_unit": "ms"}, "row 1, column 't': must be a number, for time_unit: ms; found '2024-"),
        ([1_717_200_000_000], {"time_unit": "s"}, "row 1, column 't': a time must not lie in the future"),
        (
            [1_717_200_000],
            {"time_unit": "ms"},
            "row 1, column 't': in ms this would lie in 1970, so it has another time_",
        ),
        ([MOMENT], {"time_unit": "ms"}, "f.csv: column 't': time_unit is for numbers and texts; found timestamp"),
    ],
)
def test_times_that_are_not_as_the_recipe_says_are_refused(values, keys, message):
    with pytest.raises(UserError) as error:
        timed(values, **keys)
    assert message in str(error.value)


def test_dictionaries_and_chunks_are_read_as_plain_columns_are():
    plain = {"a": ["x", "y", "x", "z"], "n": ["1", "2", "1", "3"], "t": ["5", "6", "5", "1970-01-02"]}
    encoded = {
        name: pa.chunked_array([pa.array(v[:2]).dictionary_encode(), pa.array(v[2:]).dictionary_encode()])
        for name, v in plain.items()
    }
    for table in (rows(**plain), Rows("f.csv", pa.table(encoded))):
        assert table.ids("a").dictionary.to_pylist() == ["x", "y", "z"]
        assert table.ids("a").indices.to_pylist() == [0, 1, 0, 2]
        assert table.lookup("a", pa.array(["z", "y", "x"]), "k").tolist() == [2, 1, 2, 0]
        assert table.numbers("n").tolist() == [1, 2, 1, 3]
        assert table.times("t").tolist() == [5, 6, 5, 86_400]
        assert texts_of(table, "{a}{n}", "k") == ["x1", "y2", "x1", "z3"]
        with pytest.raises(UserError, match="row 3, column 'a': must be unique, and row 1 has it already; found 'x'"):
            table.unique_ids("a")


def test_ids_that_look_the_same_are_one_and_noted():
    table = rows(a=["café", "cafe\u0301", "u1\u200b", "u1", "\ufeffu1"])
    assert table.ids("a").to_pylist() == ["café", "café", "u1", "u1", "u1"]
    assert table.notes == [
        r"f.csv: column 'a': 3 of 5 values, such as 'cafe\u0301', are read as 'café' is; 5 different values become 2 "
        "(strip: false reads them as they are)"
    ]
    with pytest.raises(UserError, match=r"row 2, column 'a': must not be empty"):
        rows(a=["x", "\u200b"]).ids("a")


@pytest.mark.parametrize(
    ("found", "known"), [("007", "7"), ("7", "007"), ("12.0", "12"), ("I1", "i1"), ("'i1'", "i1"), ('"i1"', "I1")]
)
def test_an_unknown_id_that_is_written_otherwise_is_named(found, known):
    with pytest.raises(UserError, match=rf"must be an id of data\.items \(it has '{known}': write both alike\); found"):
        rows(a=[found, "x"]).lookup("a", pa.array(["x", known]), "data.items")


def test_ids_that_lost_digits_are_refused_or_told():
    assert rows(a=[2**60, 2**60 + 1]).ids("a").to_pylist() == [str(2**60), str(2**60 + 1)]
    with pytest.raises(UserError, match=r"row 2, column 'a': an id beyond 9,007,199,254,740,992 has lost digits"):
        rows(a=[1.0, float(2**60)]).ids("a")
    table = rows(a=["1.23457E+15", "2.5E+12", "7e5", "x"])
    assert table.ids("a").to_pylist() == ["1.23457E+15", "2.5E+12", "7e5", "x"]
    assert "2 different values, such as '1.23457E+15', are numbers as spreadsheets shorten them" in table.notes[0]


def test_commas_between_thousands_are_not_taken_for_decimal_ones():
    with pytest.raises(UserError, match=r"\(commas between thousands\? write 1100; decimal ones: write decimal: ','\)"):
        rows(a=["1,100"]).numbers("a")
    with pytest.raises(UserError, match="must be a finite number; found '\uff11'"):
        rows(a=["\uff11"]).numbers("a")


def test_a_date_in_the_future_is_in_no_other_unit():
    with pytest.raises(UserError, match=r"row 2, column 'a': a time must not lie in the future; found '9999-12-31'"):
        rows(a=["2020-01-01", "9999-12-31"]).times("a")
