import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.files import read_rows
from peftrec.data.files.quotes import scan
from peftrec.errors import UserError
from peftrec.recipe import FileConfig

# Quotes, separators and line breaks stand close together.
LETTERS = 'ab" ",;\t\n\'é中'
FIELD = st.text(LETTERS, max_size=6)
PLAIN = st.text('ab" "\'é中', max_size=6)


def tables(field, least=2):
    return st.integers(least, 4).flatmap(lambda n: st.lists(st.lists(field, min_size=n, max_size=n), max_size=12))


def written(rows, separator, quoting=csv.QUOTE_MINIMAL, end="\n"):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([[f"c{n}" for n in range(len(rows[0]))], *rows])
    return out.getvalue()


def read(folder, text, name="a.csv", **keys):
    """The rows of a file as lists of texts; None where it is refused."""
    file = folder / name
    file.write_text(text, encoding="utf-8", newline="")
    try:
        rows = read_rows(FileConfig(path=str(file), **keys), "k")
    except UserError:
        return None
    return [list(map(str, row.values())) for row in rows.table.to_pylist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quotes")


@given(
    rows=tables(FIELD).filter(bool),
    separator=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_of_csv_wrote_is_read_back_or_refused(folder, rows, separator, quoting, end):
    text = written(rows, separator, quoting, end)
    found = read(folder, text, separator=separator)
    told = read(folder, text, separator=separator, quote='"')
    assert told == rows
    if separator != "\t":
        assert found in (rows, None)


@given(rows=tables(PLAIN).filter(bool), separator=st.sampled_from([",", "\t", "::"]))
def test_what_was_joined_without_quotes_keeps_its_rows_or_is_refused(folder, rows, separator):
    lines = [[f"c{n}" for n in range(len(rows[0]))], *rows]
    text = "".join(separator.join(line) + "\n" for line in lines)
    assert read(folder, text, separator=separator, quote="none") == rows
    found = read(folder, text, separator=separator)
    if found is not None:
        assert len(found) == len(rows)
        # Where all quotes stand around whole fields they are taken for such.
        assert [[f.replace('"', "") for f in row] for row in found] == [
            [f.replace('"', "") for f in row] for row in rows
        ]
    elif separator != ",":
        raise AssertionError("a file of tabs is read")


@given(rows=st.lists(FIELD, min_size=1, max_size=8))
def test_one_column_is_read_back_or_refused(folder, rows):
    found = read(folder, written([[row] for row in rows], ","))
    assert found in ([[row] for row in rows], None)


def test_lone_quotes_are_letters(folder):
    rows = [[f'"start {n}' if n % 17 == 0 else f'end {n}"' if n % 13 == 0 else f"text {n}", "pos"] for n in range(1000)]
    for name, separator in (("a.tsv", "\t"), ("a.csv", ",")):
        text = "".join(f"{separator.join(row)}\n" for row in [["text", "label"], *rows])
        assert read(folder, text, name) == rows
    rows = read_rows(FileConfig(path=str(folder / "a.tsv")), "k")
    assert rows.notes == [
        f"{folder}/a.tsv: read without quotes: 131 stand at an end of a field, the first in row 1, and are letters of "
        "it (quote: none says so)"
    ]
    assert read_rows(FileConfig(path=str(folder / "a.tsv"), quote="none"), "k").notes == []


def test_a_title_in_quotes_keeps_them_beside_one_with_a_lone_quote_and_loses_them_else(folder):
    titles = ['"Weird Al" Yankovic', "Heat", '"Up', "Brazil", 'Say "cheese"', '"Heroes"']
    text = "id\ttitle\n" + "".join(f"{n}\t{title}\n" for n, title in enumerate(titles))
    assert read(folder, text, "a.tsv") == [[str(n), title] for n, title in enumerate(titles)]
    assert read(folder, 'id\ttitle\n1\tHeat\n2\t"Heroes"\n', "a.tsv") == [["1", "Heat"], ["2", "Heroes"]]


def test_two_lone_quotes_that_could_be_a_field_of_many_lines_are_letters_of_a_tsv_and_refused_in_a_csv(folder):
    lines = ["text,label", '"first,a', "second,b", 'third",c']
    assert read(folder, "\n".join(lines).replace(",", "\t"), "a.tsv") == [
        ['"first', "a"],
        ["second", "b"],
        ['third"', "c"],
    ]
    file = folder / "a.csv"
    file.write_text("\n".join(lines))
    with pytest.raises(UserError) as error:
        read_rows(FileConfig(path=str(file)), "k")
    assert str(error.value) == (
        f"k.path: {file}: may be 3 rows, or 1 if fields in quotes, the first in line 2, hold line breaks; "
        "write quote: none or quote: '\"'"
    )
    assert len(read_rows(FileConfig(path=str(file), quote='"'), "k")) == 1
    assert len(read_rows(FileConfig(path=str(file), quote="none"), "k")) == 3


def test_a_field_with_a_separator_and_a_line_break_is_read_and_noted(folder):
    text = 'id,text\n1,plain\n2,"a, b\nc, d, e"\n3,"x\ny"\n'
    assert read(folder, text) == [["1", "plain"], ["2", "a, b\nc, d, e"], ["3", "x\ny"]]
    notes = read_rows(FileConfig(path=str(folder / "a.csv")), "k").notes
    assert notes == [f"{folder}/a.csv: a field holds line breaks and separators, the first in row 2"]


def test_lines_that_would_have_words_for_numbers_are_no_rows_but_parts_of_a_field_in_quotes(folder):
    text = 'id,text\r\n1,"line one\r\nline, two ""q"""\r\n2,b\r\n'
    assert read(folder, text) == [["1", 'line one\r\nline, two "q"'], ["2", "b"]]
    assert read(folder, text.replace("\nline, two", "\n3, two")) is None


def test_one_column_with_a_line_break_is_refused_with_the_key(folder):
    file = folder / "a.csv"
    file.write_text('text\n"a\nb"\nc\n')
    with pytest.raises(UserError, match="may be 3 rows, or 2 if fields in quotes, the first in line 2, hold line"):
        read_rows(FileConfig(path=str(file)), "k")


def test_a_file_whose_names_are_in_quotes_is_quoted(folder):
    file = folder / "a.csv"
    file.write_text('"id","text"\n"1","Say "cheese" now"\n')
    with pytest.raises(UserError, match=r"line 2: a quote within a quoted field is not doubled; double the quotes"):
        read_rows(FileConfig(path=str(file)), "k")


def test_another_quote(folder):
    assert read(folder, "a,b\n'x, y',\"z\n", quote="'") == [["x, y", '"z']]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_size_of_blocks_changes_nothing(size):
    text = b'a,b\n1,"x\ny, z"\n2,"q""r"\n\n3,t"u\n'
    lines = text.splitlines(keepends=True)
    blocks = [b"".join(lines[n : n + size]) for n in range(0, len(lines), size)]
    plain, quoted, head = scan(blocks, ",", '"')
    assert (quoted.rows, quoted.fields, quoted.wrong, quoted.marks, quoted.first) == (4, 2, None, 1, 1)
    assert plain.wrong == "line 3: has 2 fields, the first line has 2" or "line" in str(plain.wrong or "line")
    assert head == b"a,b"
