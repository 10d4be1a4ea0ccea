import time

import numpy as np
import pytest

from peftrec.data.times import (
    doubt_future,
    doubt_numbers,
    doubt_unit,
    from_format,
    from_iso,
    from_unit,
    moment,
    wanted_of,
)
from peftrec.errors import UserError

DAY = 86_400.0
TODAY = 1_717_200_000.0  # 2024-06-01


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


def test_a_format_is_in_utc_unless_it_says_otherwise():
    assert from_format("20240601", "%Y%m%d") == TODAY
    assert from_format("1.6.2024 02:00 +0200", "%d.%m.%Y %H:%M %z") == TODAY
    with pytest.raises(ValueError, match="does not match"):
        from_format("2024-06-01", "%Y%m%d")


FORMATS = {
    "days first, since one is above 12": (["21-07-2015", "05-01-2015"], ["%d-%m-%Y"]),
    "days or months first": (["05-01-2015"], ["%d-%m-%Y", "%m-%d-%Y"]),
    "as MIND has them": (["11/11/2019 9:05:58 AM", "11/14/2019 1:00:00 PM"], ["%m/%d/%Y %I:%M:%S %p"]),
    "as a feed has them": (["Mon Sep 24 03:35:21 +0000 2012"], ["%a %b %d %H:%M:%S %z %Y"]),
    "Chinese": (["2024年5月31日"], ["%Y年%m月%d日"]),
    "two digits a year": (["31.5.24 18:00"], ["%d.%m.%y %H:%M"]),
    "most of them": (["31.5.2024", "1.5.2024", "soon"], ["%d.%m.%Y"]),
    "not most of them": (["31.5.2024", "soon", "later"], []),
    "no date": (["soon"], []),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_key_that_reads_dates_as_people_write_them_is_named(name):
    texts, patterns = FORMATS[name]
    said = wanted_of(texts)
    assert said.startswith("must be seconds since 1970 or an ISO date")
    assert said.partition("; write time_format: ")[2] == " or ".join(map(repr, patterns))
    for pattern in patterns:
        from_format(texts[0], pattern)


@pytest.mark.parametrize(
    ("unit", "number"),
    [(None, TODAY), ("s", TODAY), ("ms", TODAY * 1e3), ("us", TODAY * 1e6), ("days", 19_875), ("excel", 45_444)],
)
def test_units(unit, number):
    assert from_unit(np.array([number]), unit)[0] == TODAY


WRITTEN = {
    "YYYYMMDD": ([20240301, 20231115, 20230913], 0, "a date written YYYYMMDD", "time_format: '%Y%m%d'"),
    "YYYYMMDD with a zero among them": ([0, 20240301, 20231115], 1, "a date written YYYYMMDD", "time_format: '%Y%m%d'"),
    "YYYYMMDD beside seconds": ([TODAY, TODAY + 5, 20240301], 2, "a date written YYYYMMDD", "time_format: '%Y%m%d'"),
    "YYYYMM": ([202403, 202311], 0, "a month written YYYYMM", "time_format: '%Y%m'"),
    "years": ([1995, 2009, 2024], 0, "a year", "time_format: '%Y'"),
    "Excel": ([45_444.25, 45_445.5], 0, "a day as Excel counts them", "time_unit: excel"),
    "days": ([19_875, 19_876], 0, "days since 1970", "time_unit: days"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_that_people_write_dates_as_are_no_seconds(name):
    numbers, row, form, key = WRITTEN[name]
    doubt = doubt_numbers(np.array(numbers, float))
    assert (doubt.row, doubt.key) == (row, key)
    assert str(doubt) == f"must be seconds since 1970, and this looks like {form}; write {key}"


@pytest.mark.parametrize(
    ("number", "unit", "key"),
    [
        (TODAY * 1e3, "in milliseconds? give seconds", "time_unit: ms"),
        (TODAY * 1e6, "in microseconds? give seconds", "time_unit: us"),
        (TODAY * 1e9, "in nanoseconds? give seconds", "time_unit: ns"),
        (20240601120000, "a date written YYYYMMDDHHMMSS?", "time_format: '%Y%m%d%H%M%S'"),
        (202406011200, "a date written YYYYMMDDHHMM?", "time_format: '%Y%m%d%H%M'"),
    ],
)
def test_numbers_too_large_for_seconds_are_named_by_what_they_may_be(number, unit, key):
    doubt = doubt_numbers(np.array([0.0, 1.0, number]))
    assert (doubt.row, doubt.rule, doubt.key) == (2, f"a time must not lie in the future ({unit})", key)


def test_seconds_among_other_units_are_told_by_rows_and_no_unit_is_named_that_would_put_them_into_1970():
    times = np.array([TODAY, TODAY * 1e3, TODAY + 1, TODAY * 1e3 + 1])
    doubt = doubt_numbers(times)
    assert (doubt.key, doubt.wrong.tolist()) == (None, [False, True, False, True])
    assert "2 others are in seconds" in doubt.rule
    doubt = doubt_unit(times[[0, 1, 3]], "ms")
    assert doubt.rule.startswith("in ms this would lie in 1970") and doubt.wrong.tolist() == [True, False, False]
    assert doubt_future(np.array([253_402_214_400.0]), units=False).key is None  # 9999-12-31


def test_times_of_two_forms_have_no_key_that_reads_one_of_them_only():
    people, iso = ["31/12/2023", "30/12/2023"], ["2023-12-29", "2023-12-28"]
    assert wanted_of(people, iso).endswith("the column has times of several forms: write all of them in one")
    assert wanted_of(people).endswith("write time_format: '%d/%m/%Y'")
    assert wanted_of(["2023-12-29 18:00:00 UTC"]).endswith("write time_format: '%Y-%m-%d %H:%M:%S UTC'")


def test_negative_numbers_are_no_times():
    assert doubt_numbers(np.array([5.0, -1.0])).row == 1


def test_a_unit_that_makes_all_times_lie_in_1970_is_another():
    assert doubt_unit(np.array([TODAY, TODAY + 1]), "ms").rule.startswith("in ms this would lie in 1970")
    assert doubt_unit(np.array([TODAY * 1e3]), "us").row == 0
    for numbers, unit in (([TODAY * 1e3], "ms"), ([0, 5e8], "ms"), ([TODAY], "s"), ([45_000], "excel"), ([], "ms")):
        assert doubt_unit(np.array(numbers, float), unit) is None


def test_clocks_that_begin_at_zero_and_times_of_today_are_times():
    for last in (10, 2_000, 4_000, 30_000, 50_000, 60_000, 300_000, 30_000_000):
        assert doubt_numbers(np.linspace(0, last, 1001).round()) is None, last
    assert doubt_numbers(np.array([TODAY, TODAY + 1])) is None
    assert doubt_numbers(np.array([0.0, TODAY, TODAY + 1])) is None
    assert doubt_numbers(np.zeros(0)) is None


def test_a_time_zone_ahead_is_not_the_future():
    assert doubt_future(np.array([time.time() + 14 * 3600])) is None
    assert doubt_future(np.array([0.0, time.time() + 25 * 3600])).row == 1


def test_a_moment_is_judged_as_a_column_is():
    assert moment(TODAY) == moment(int(TODAY)) == moment("2024-06-01") == moment("2024-06-01T02:00:00+02:00") == TODAY
    assert moment("1955-11-05") < 0
    assert moment("2030-01-01") == moment(1893456000) == 1893456000
    for value, rule in {
        1717200000000: "'time': a time must not lie in the future (in milliseconds? give seconds)",
        20240601: "'time': must be seconds since 1970, and this looks like a date written YYYYMMDD",
        2024: "'time': must be seconds since 1970, and this looks like a year",
        -5: "'time': a number of seconds since 1970 is not negative; write dates before 1970 in ISO",
        "2999-01-01": "'time': a time must lie before 2100",
        5e9: "'time': a time must lie before 2100",
        "soon": "'time' must be seconds since 1970 or an ISO date",
        None: "'time' must be seconds since 1970 or an ISO date",
        True: "'time' must be seconds since 1970 or an ISO date",
        float("nan"): "'time': must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00",
        10**400: "'time' must be seconds since 1970 or an ISO date",
    }.items():
        with pytest.raises(UserError) as error:
            moment(value)
        assert str(error.value).startswith(f"{rule}; found ")
