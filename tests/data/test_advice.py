import pytest

from peftrec.data.advice import encoding_of, missing_column, no_header, other_separator


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["user;item;ts"], 'write separator: ";"'),
        (['"item";"user"'], 'write separator: ";"'),
        (["item\tuser"], 'write separator: "\\t"'),
        (["item|user"], 'write separator: "|"'),
        (["item::user::rating"], 'write separator: "::"'),
        (["10", "1", "1717200000"], "if the first line is a row, write header: false and names: [...] (3 columns)"),
        (
            ["user:token", "item:token"],
            "name the column 'user:token', or the file .inter, .item or .user as RecBole does",
        ),
    ],
)
def test_a_missing_column_names_the_key_that_would_give_it(names, advice):
    assert missing_column("user", names) == f"no column 'user'; its columns are {', '.join(names)}; {advice}"


def test_a_missing_column_alone_lists_those_there_are():
    assert missing_column("user", ["usr", "item"]) == "no column 'user'; its columns are usr, item"


def test_no_header_counts_the_columns():
    assert no_header(["1", "2"]) == "if the first line is a row, write header: false and names: [...] (2 columns)"


def test_another_separator_is_the_one_that_divides_most():
    assert other_separator("a;b;c", ",") == 'write separator: ";"'
    assert other_separator("a::b", "\t") == 'write separator: "::"'
    assert other_separator("a,b;c", ",") is None
    assert other_separator("abc", ",") is None


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "1,Léon,Crime\n2,Amélie,Romance\n"),
        ("latin-1", "3,Müßiggänger über Ärger\n"),
        ("latin-1", "São João, Señor Núñez"),
        ("cp1252", "\u201cL\u2019été\u201d naïve\u2026"),
        ("gb18030", "1,红楼梦\n2,西游记和水浒传\n"),
        ("gb18030", "酒店的位置很好服务也不错"),
        ("cp1251", "Привет, мир. Хороший фильм"),
        ("utf-16", "id,title\n1,é\n"),
        ("utf-16-le", "id,title\n1,é\n"),
        ("utf-16-be", "id,title\n1,é\n"),
    ],
)
def test_an_encoding_is_told_by_its_bytes(encoding, text):
    assert encoding_of(text.encode(encoding)) == encoding


def test_accents_of_two_encodings_are_not_chinese():
    assert encoding_of("El Rincón\n".encode("latin-1") + "El Rincón de Tlaquepaque\n".encode()) == "latin-1"
