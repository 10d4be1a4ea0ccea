"""Files of rows that ask, in every form, and files of answers, as other programs read them."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.cli.answers import check_output, flat, lines_of, read_rows_asked, write_answers
from peftrec.errors import UserError

ROWS = [{"user": "007", "history": None}, {"query": 'a "b", c', "exclude": ["x"]}, {"history": []}]
ITEMS = [
    [{"item": "i1", "text": "One, two", "score": 0.5}, {"item": "2", "text": "Überfluß", "score": -1e-7}],
    [],
    [{"item": "i1", "text": "One, two", "score": 3.0}],
]
WEIGHED = [[{**item, "scores": {"a": 1.5, "price": None}} for item in items] for items in ITEMS]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
def test_rows_of_any_file_are_the_same(tmp_path, ending):
    file = tmp_path / f"rows.{ending}"
    rows = [{"user": "007", "exclude": ["1", "x y"]}, {"user": "12", "exclude": []}]
    if ending == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == "parquet":
        pq.write_table(pa.table({"user": ["007", "12"], "exclude": [["1", "x y"], []]}), file)
    else:
        between = "," if ending == "csv" else "\t"
        file.write_text(f'user{between}exclude\n007{between}"1,x y"\n12{between}\n')
    found, places = read_rows_asked(file)
    assert found == rows
    assert places == [f"{'line' if ending == 'jsonl' else 'row'} {n}" for n in (1, 2)]


def test_cells_of_tables_are_ids_lists_and_nothing(tmp_path, notes):
    file = tmp_path / "rows.parquet"
    table = {
        "user": pa.array([1.0, None, None]),
        "history": pa.array([None, [3, 4], []], pa.list_(pa.int64())),
        "candidates": ["5, 6", None, "7"],
        "user_features": [None, {"age": 3}, None],
        "segment": ["a", "b", "c"],
        "name": ["a", "b", "c"],
    }
    pq.write_table(pa.table(table), file)
    assert read_rows_asked(file)[0] == [
        {"user": "1", "history": None, "candidates": ["5", "6"], "user_features": None},
        {"user": None, "history": ["3", "4"], "candidates": None, "user_features": {"age": 3}},
        {"user": None, "history": [], "candidates": ["7"], "user_features": None},
    ]
    assert notes.readouterr().err == f"{file}: columns that are not read: segment, name\n"
    (tmp_path / "histories.csv").write_text('history\n"1,2"\n""\n3\n')
    assert read_rows_asked(tmp_path / "histories.csv")[0] == [
        {"history": ["1", "2"]},
        {"history": []},
        {"history": ["3"]},
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.csv", "name,age\na,3\n", "no column user, history or query; it has name, age"),
        ("rows.csv", "user\n", "cannot be read as csv: it holds no rows"),
        ("rows.parquet", "user\n7\n", "cannot be read as parquet: "),
        ("rows.jsonl", "user\n7\n", "line 1: not JSON: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        read_rows_asked(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name)) and message in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("no.csv", "no.parquet", "no.jsonl"):
        with pytest.raises(UserError, match=f"no.*{name}|{name}: cannot be read"):
            read_rows_asked(tmp_path / name)


def test_lines_say_who_asked():
    assert [json.loads(line) for line in lines_of(ROWS, ITEMS).splitlines()] == [
        {"row": 1, "user": "007", "items": ITEMS[0]},
        {"row": 2, "query": 'a "b", c', "items": []},
        {"row": 3, "items": ITEMS[2]},
    ]


@pytest.mark.parametrize("found", [ITEMS, WEIGHED])
def test_tables_have_a_row_an_item(tmp_path, found):
    write_answers(tmp_path / "out.csv", ROWS, found)
    write_answers(tmp_path / "out.parquet", ROWS, found)
    expected = [
        {"row": 1, "user": "007", "query": None, "rank": 1, **flat(found[0][0])},
        {"row": 1, "user": "007", "query": None, "rank": 2, **flat(found[0][1])},
        {"row": 3, "user": None, "query": None, "rank": 1, **flat(found[2][0])},
    ]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected
    with (tmp_path / "out.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert read == [{key: "" if value is None else str(value) for key, value in row.items()} for row in expected]
    assert list(expected[0])[-2:] == (["scores.a", "scores.price"] if found is WEIGHED else ["text", "score"])


def test_a_table_of_nothing_has_its_columns(tmp_path):
    write_answers(tmp_path / "out.csv", [{"user": "7"}], [[]])
    assert (tmp_path / "out.csv").read_text() == "row,user,rank,item,text,score\n"
    write_answers(tmp_path / "out.parquet", [{"user": "7"}], [[]])
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == []


def test_what_exists_is_not_written_over(tmp_path):
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        write_answers(tmp_path / name, ROWS, ITEMS)
        kept = (tmp_path / name).read_bytes()
        for write in (check_output, lambda file: write_answers(file, ROWS, WEIGHED)):
            with pytest.raises(UserError, match="exists already and is never written over"):
                write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == kept
