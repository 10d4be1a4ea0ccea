import gzip
import re

import pytest

from peftrec.data.files import delimited, read_rows, text
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


@pytest.fixture
def read(tmp_path):
    def read(name, content, columns=None, **keys):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_rows(FileConfig(path=str(tmp_path / name), **keys), "data.tables.x", columns)

    return read


ROWS = {"user_id": ["10", "10", "11"], "item_id": ["1", "2", "3"], "rating": ["4", "3", "5"]}


def joined(separator, end="\n"):
    return "".join(separator.join(row) + end for row in [list(ROWS), *zip(*ROWS.values(), strict=True)])


@pytest.mark.parametrize(
    ("name", "separator", "keys"),
    [
        ("a.csv", ",", {}),
        ("a.tsv", "\t", {}),
        ("a.tab", "\t", {}),
        ("a.csv", ";", {"separator": ";"}),
        ("a.csv", "\t", {"separator": "\\t"}),
        ("a.csv", "|", {"separator": "|"}),
        ("a.dat", "::", {"separator": "::"}),
        ("a.log", "§", {"separator": "§"}),
        ("a.txt", " ", {"separator": " "}),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_ends_of_lines(read, name, separator, keys, end):
    assert read(name, joined(separator, end), **keys).table.to_pydict() == ROWS


@pytest.mark.parametrize(
    ("name", "separator", "key"),
    [("a.csv", ";", '";"'), ("a.csv", "\t", '"\\t"'), ("a.csv", "|", '"|"'), ("a.tsv", "::", '"::"')],
)
def test_the_separator_that_would_give_a_missing_column_is_named(read, name, separator, key):
    rows = read(name, joined(separator))
    with pytest.raises(UserError, match="no column 'user_id'") as error:
        rows.ids("user_id")
    assert str(error.value).endswith(f"; write separator: {key}")


def test_the_separator_is_named_where_the_rows_do_not_fit(read):
    with pytest.raises(UserError, match=r'line 2: has 2 fields, the first line has 1; .*; write separator: ";"'):
        read("a.csv", "\ufeffid;price\r\n1;3,5\r\n")
    rows = read("a.csv", "\ufeffid;price\r\n1;3,5\r\n2;1.234,5\r\n", separator=";", decimal=",")
    with pytest.raises(UserError, match=r"row 2, column 'price': must be a finite number; found '1\.234,5'"):
        rows.numbers("price")
    with pytest.raises(UserError, match=r"must be a finite number .with a decimal comma\? write decimal: ','.; found"):
        read("a.csv", "id;price\n1;3,5\n", separator=";").numbers("price")
    assert read("a.csv", "id;price\n1;3,5\n", separator=";", decimal=",").numbers("price").tolist() == [3.5]


def test_an_unknown_separator_is_asked_for(read):
    for line, key in {"a::b": "::", "a|b": "|", "a\tb": "\\t"}.items():
        with pytest.raises(UserError, match=r"what stands between the fields of a \.dat file is not known") as error:
            read("a.dat", f"{line}\n1\n")
        assert str(error.value).endswith(f'; write separator: "{key}"')


def test_excels_line_of_the_separator(read):
    assert read("a.csv", "sep=;\r\n" + joined(";", "\r\n")).table.to_pydict() == ROWS
    assert read("a.csv", "sep=,\n" + joined(",")).table.to_pydict() == ROWS


def test_names_of_a_file_without_a_header(read):
    content = "10,1,4\n10,2,3\n11,3,5\n"
    assert read("a.csv", content, header=False, names=list(ROWS)).table.to_pydict() == ROWS
    with pytest.raises(UserError, match=r"names has 2 columns, the first row 3"):
        read("a.csv", content, header=False, names=["a", "b"])
    with pytest.raises(UserError, match=r"no column 'user_id'; .* write header: false and names: \[...\] .3 columns"):
        read("a.csv", content).ids("user_id")
    with pytest.raises(UserError, match=r"each once; found \['10', '10'\]; if the first line is a row, write header"):
        read("a.csv", "10,10\n1,2\n")


def test_the_columns_that_are_not_wanted_are_not_held(read):
    rows = read("a.csv", joined(","), ["rating", "user_id", "nothing"])
    assert rows.table.column_names == ["user_id", "rating"] and rows.names == list(ROWS)
    with pytest.raises(UserError, match="no column 'nothing'; its columns are user_id, item_id, rating"):
        rows.ids("nothing")
    assert len(read("a.csv", joined(","), ["nothing"])) == 3


def test_columns_without_a_name_are_left_out(read):
    assert read("a.csv", ",a,b\n0,1,2\n").table.to_pydict() == {"a": ["1"], "b": ["2"]}
    assert read("a.csv", "a,b,\n1,2,\n").table.to_pydict() == {"a": ["1"], "b": ["2"]}


def test_comments_are_left_out_and_counted(read, tmp_path):
    rows = read("a.csv", "# made by hand\na,b\n1,2\n#3,4\n", comment="#")
    assert rows.table.to_pydict() == {"a": ["1"], "b": ["2"]}
    assert rows.notes == [f"{tmp_path}/a.csv: 2 lines that begin with '#' are left out"]
    with pytest.raises(UserError, match="write comment: '#'"):
        read("a.csv", "# made by hand\na,b\n1,2\n#3,4\n")


def test_atomic_files_of_recbole(read):
    inter = read("a.inter", "user_id:token\titem_id:token\tseen:token_seq\trating:float\n1\t007\ta b\t4\n")
    assert inter.table.to_pydict() == {"user_id": ["1"], "item_id": ["007"], "seen": ["a b"], "rating": ["4"]}
    packed = read("a.item.gz", gzip.compress(b'item_id:token\ttitle:token_seq\n1\t"Up\n'))
    assert packed.table.to_pydict() == {"item_id": ["1"], "title": ['"Up']}
    assert read("a.kg", "head_id:token\trelation_id:token\n1\t2\n").table.column_names == ["head_id", "relation_id"]
    assert read("a.item", "1|Heat\n", separator="|", header=False, names=["i", "t"]).table.to_pydict() == {
        "i": ["1"],
        "t": ["Heat"],
    }
    with pytest.raises(UserError, match=r"name the column 'user_id:token', or the file \.inter, \.item or"):
        read("a.tsv", "user_id:token\titem_id:token\n1\t2\n").ids("user_id")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1\n", "line 2: has 1 field, the first line has 2"),
        ("a,b\n1,2\n3,4,5\n6\n", "line 3: has 3 fields, the first line has 2; quote fields that hold the separator"),
        ("a,b,a\n1,2,3\n", "the first line must name the columns, each once; found ['a', 'b', 'a']"),
        ("\n\n", "it is empty"),
        ("a,b\n", "cannot be read as csv: it holds no rows"),
        ("a,b\n1," + "x" * (1 << 25), "cannot be read as csv: a row is longer than 16 MiB"),
    ],
)
def test_what_is_no_table_is_refused(read, content, message):
    with pytest.raises(UserError) as error:
        read("a.csv", content)
    assert message in str(error.value) and str(error.value).startswith("data.tables.x.path: ")


def test_fields_stay_the_texts_that_they_are(read):
    values = ["007", "1e5", "NA", "nan", "null", "", "1.50", "True", " x ", "0x1", "9007199254740993"]
    rows = read("a.csv", "n,a\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values)))
    assert rows.strings("a").to_pylist() == values


def test_blank_lines_are_no_rows_and_names_lose_the_spaces_around_them(read):
    assert read("a.csv", "\n\na, b\n\n1, 2\n\n\n").table.to_pydict() == {"a": ["1"], "b": [" 2"]}
    assert read("a.csv", "a, b\n1,2\n", strip=False).table.column_names == ["a", " b"]


def test_a_file_of_many_blocks(read, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 1 << 19)  # which are read at once, and parsed at once: a sixteenth
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 20)
    rows = read("a.csv", "user,n\n" + "".join(f"u{n % 7},{n}\n" for n in range(200_000)))
    assert len(rows) == 200_000 and rows.table["user"].num_chunks > 1
    ids = rows.ids("user")
    assert ids.dictionary.to_pylist() == [f"u{n}" for n in range(7)]
    assert (rows.numbers("n") == range(200_000)).all()
    assert ids.indices.to_pylist()[-3:] == [n % 7 for n in range(199_997, 200_000)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\na,b\n3,4\n", "row 2 is the line of names again (files that were joined?); delete it"),
        ("a,b\n1,2\n a,b\na,b\n", "row 2 is the line of names again, and 1 more (files"),
        ("a,b\n1,2,\n3,4,\n", "it ends with the separator: end the first line with it too, or none"),
        ("Export of May\na,b\n1,2\n", "if the first line is a title above the names, delete it"),
        ("", "it is empty"),
    ],
)
def test_what_programs_leave_in_files_is_named(read, content, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read("t.csv", content)
