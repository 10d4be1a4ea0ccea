"""What `check` understood, as lines for people."""

import pytest
from rich.cells import cell_len

from peftrec.cli.understood import examples_lines, tables_lines


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def column(name, use="", holds="text", missing=0, distinct=1, least=None, most=None, common=None):
    return locals()


def table(*columns, **changes):
    return {
        "name": "films",
        "kind": "items",
        "file": "films.csv",
        "rows": 1682,
        "columns": list(columns),
        "others": [],
    } | changes


def test_a_table_by_its_columns():
    lines = tables_lines(
        [
            table(
                column("id", "id", distinct=1682, common={"1": 1, "2": 1, "3": 1}),
                column("title", "text", distinct=2, common={"Heat\n(1995)": 1400, "Up": 282}),
                column("year", "text", "number", 9, 72, 1922.0, 1998.0),
                column("votes", "", "number", 0, 1, 1.5e7, 1.5e7),
                column("shown", "", "time", 1600, 80, "1997-09-20T03:05:10", "1998-04-22T23:10:38"),
                column("cast", "", "map<string, int64>", distinct=None),
            )
        ]
    )
    assert lines == [
        "films: 1,682 items of films.csv",
        "  column  use   holds         missing  distinct  values",
        "  id      id    text                -     1,682  1; 2; 3; ...",
        "  title   text  text                -         2  Heat (1995) (1,400); Up (282)",
        "  year    text  number              9        72  1922 to 1998",
        "  votes   -     number              -         1  15000000",
        "  shown   -     time            1,600        80  1997-09-20 to 1998-04-22",
        "  cast    -     map<string,…        -",
        "",
    ]


def test_wide_tables_and_long_texts_stay_readable():
    wide = [column(f"column_with_quite_a_long_name_{n}", common={"電影" * 40: 3}) for n in range(300)]
    lines = tables_lines([table(column("id", "id", common={"1": 2}), *wide, file="folder/" * 30 + "films.csv")])
    assert len(lines) == 1 + 1 + 12 + 1 + 1
    assert lines[-2].startswith("  and 289 more that nothing reads: column_with_quite_a_long_name_11, column")
    assert max(map(cell_len, lines)) == 100 and all(cell_len(line) <= 100 for line in lines)
    assert lines[3].split()[0] == "column_with_quite_a_lon…" and lines[3].endswith("影…")


def test_all_that_is_read_is_shown_however_many(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = tables_lines([table(*(column(f"c{n}", "number") for n in range(20)), column("other"), rows=10**9)])
    assert len([line for line in lines if " number " in line]) == 20
    assert lines[-2] == "  and 1 more that nothing reads: other"
    assert tables_lines([table(file="f" * 200)])[0] == "films: 1,682 items of " + "f" * 57 + "…"


def test_texts_make_room_for_what_is_said_beside_them():
    event = {"text": "x" * 200, "said": "number " + "9" * 60, "table": "views"}
    row = {"history": [event], "before": 0, "candidate": "電" * 99, "item": "i7", "label": "y" * 200, "time": "2024"}
    lines = examples_lines({"t": {"question": "q" * 200, "first": [row]}})[:-1]
    assert {cell_len(line) for line in lines if "2024" not in line} == {99, 100}
    assert [line[-6:] for line in lines] == ["qqqqq…", ". 2024", "99999…", "em i7)", "yyyyy…"]


def test_the_first_rows_of_tasks():
    history = [{"text": "Heat", "said": "liked", "table": "views"}, {"text": "x" * 200, "said": "not liked"}]
    lines = examples_lines(
        {
            "like": {
                "question": "will they",
                "first": [
                    {
                        "user": "7",
                        "time": "2024-06-01T20:15:00",
                        "history": history,
                        "before": 1200,
                        "item": "12",
                        "candidate": "Up\n(2009)",
                        "label": "liked",
                    },
                    {"user": "8", "history": [], "before": 0, "item": "12", "candidate": "Up", "label": "not liked"},
                    {"user": "9", "history": history[:1], "before": 2, "candidate": "Up", "label": "liked"},
                ],
            },
            "topic": {"question": "which class", "first": [{"text": "some words", "label": "sport"}]},
            "match": {
                "question": "does it",
                "first": [{"query": "q", "candidate": "Up", "item": "12", "time": "2024-06-01T20:15:00", "label": "2"}],
            },
        }
    )
    assert lines == [
        "like: will they? The first training rows:",
        "  1. user 7, 2024-06-01 20:15:00",
        "     history    1,200 earlier, then",
        "                Heat (views, liked)",
        f"                {'x' * 71}… (not liked)",
        "     candidate  Up (2009) (item 12)",
        "     label      liked",
        "  2. user 8",
        "     history    none",
        "     candidate  Up (item 12)",
        "     label      not liked",
        "  3. user 9",
        "     history    2 others, and",
        "                Heat (views, liked)",
        "     candidate  Up",
        "     label      liked",
        "",
        "topic: which class? The first training rows:",
        "  1. text       some words",
        "     label      sport",
        "",
        "match: does it? The first training rows:",
        "  1. 2024-06-01 20:15:00",
        "     query      q",
        "     candidate  Up (item 12)",
        "     label      2",
        "",
    ]
