import json

import pytest

from peftrec.data.files import lines, read_rows
from peftrec.data.templates import texts_of
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


@pytest.fixture
def read(tmp_path):
    def read(rows, name="a.jsonl", columns=None):
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_rows(FileConfig(path=str(tmp_path / name)), "k", columns)

    return read


def test_titles_of_several_kinds_stay_what_they_are(read):
    titles = ["Heat 0", "Amélie 2", 1984, 300, "Brazil 3"]
    rows = read([{"id": f"m{n}", "title": title} for n, title in enumerate(titles)])
    assert texts_of(rows, "{title}", "k") == ["Heat 0", "Amélie 2", "1984", "300", "Brazil 3"]


def test_a_guest_among_numbers_is_one_more_user(read):
    rows = read([{"user": n % 20} for n in range(300)] + [{"user": "guest-1"}])
    assert rows.ids("user").dictionary.to_pylist() == [*map(str, range(20)), "guest-1"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([True, 1, "yes"], ["true", "1", "yes"]),
        ([None, None, "a"], ["", "", "a"]),
        ([1, 0.5], ["1", "0.5"]),
        ([1.0, 2.0], ["1", "2"]),
        ([9007199254740993, 0.5], ["9007199254740993", "0.5"]),
        ([2**64, 1], ["18446744073709551616", "1"]),
        (["1995-01-31", "1995-02-01"], ["1995-01-31", "1995-02-01"]),
        (["2024-05-31T18:00:00Z"], ["2024-05-31T18:00:00Z"]),
        ([["a", 1], "b"], ["a, 1", "b"]),
        ([["a"], [1]], ["a", "1"]),
        ([float("nan"), "a"], ["", "a"]),
    ],
)
def test_values_of_several_kinds(read, values, texts):
    assert read([{"a": value} for value in values]).strings("a").to_pylist() == texts


@pytest.mark.parametrize("late", ["guest", None, 0.5, True])
def test_another_kind_after_very_many_rows(read, monkeypatch, late):
    monkeypatch.setattr(lines, "_CHUNK", 10_000)  # rows that are looked at together: it stands alone among the fourth
    rows = read([{"a": n} for n in range(30_000)] + [{"a": late}])
    texts = rows.strings("a").to_pylist()
    assert len(texts) == 30_001 and texts[:2] + texts[29_998:30_000] == ["0", "1", "29998", "29999"]
    assert texts[-1] == {"guest": "guest", None: "", 0.5: "0.5", True: "true"}[late]


def test_dates_beside_numbers_are_times(read):
    rows = read([{"t": 1717171200}, {"t": "2024-05-31T16:00:00Z"}, {"t": "2024-05-31T18:00:00+02:00"}])
    assert rows.times("t").tolist() == [1717171200.0] * 3


def test_a_key_that_a_row_lacks_is_missing_there(read):
    rows = read('{"a": 1}\n\n{"b": "x"}\n')
    assert rows.names == ["a", "b"]
    assert rows.table.to_pydict() == {"a": [1, None], "b": [None, "x"]}
    assert read('{"a": 1, "b": 2}\n', columns=["b"]).table.to_pydict() == {"b": [2]}


def test_objects_are_refused_only_where_they_are_read(read):
    rows = read([{"a": {"b": 1}, "c": 1}])
    assert rows.strings("c").to_pylist() == ["1"]
    with pytest.raises(UserError, match=r"column 'a': needs plain values; found struct"):
        rows.strings("a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a":\n', "line 2: Expecting value"),
        ('{"a": 1}\n[1]\n', "line 2 is no object; found [1]"),
        ('[{"a": 1}, 3]', "row 2 is no object; found 3"),
        ('[{"a": 1}', "Expecting ',' delimiter"),
        ('{"a": 1, "a": 2}\n', "line 1: the key 'a' is specified twice"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "line 1: maximum recursion depth"),
        ('{"a": ' + "9" * 5_000 + "}\n", "line 1: Exceeds the limit"),
        ('{"a": "\\ud800"}\n', "surrogates not allowed"),
        ("\n", "it holds no rows"),
        ("[]", "it holds no rows"),
    ],
)
def test_what_is_no_rows_of_json_is_refused(read, content, message):
    with pytest.raises(UserError, match=r"k\.path: .*a\.jsonl: cannot be read as jsonl: ") as error:
        read(content)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_list_in_one_file(read):
    assert read(json.dumps([{"a": 1}, {"a": "x"}], indent=1), "a.json").strings("a").to_pylist() == ["1", "x"]


@pytest.mark.parametrize(
    "content",
    [
        {"a": [1, 2], "b": [3, 4]},
        {"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}},
        {"data": [{"a": 1}, {"a": 2}]},
        {"count": 2, "rows": [{"a": 1}, {"a": 2}]},
    ],
)
def test_one_object_that_holds_the_rows_is_refused(read, content):
    with pytest.raises(UserError, match="it is one object whose values hold the rows; write an object a line"):
        read(json.dumps(content))
    assert len(read('{"a": [1, 2], "b": 3}')) == 1
