import json

import pytest

from peftrec.data.files import read_rows
from peftrec.data.files import text as module
from peftrec.data.files.text import Text
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_blocks_are_whole_lines_of_utf8_at_any_size(tmp_path, monkeypatch, encoding, size):
    monkeypatch.setattr(module, "BLOCK", size)
    lines = "id::title\r\n1::Léon\r2::Amélie\n\n3::x"
    (tmp_path / "a.dat").write_bytes(lines.encode(encoding))
    given = None if encoding.startswith("utf-8") else encoding
    text = Text(tmp_path / "a.dat", "k", FileConfig(path="", encoding=given), "::")
    blocks = list(text.blocks())
    assert b"".join(blocks).decode() == lines.replace("::", "\x1f")
    assert all(block.endswith((b"\n", b"\r")) for block in blocks[:-1]) and text.inner == "\x1f"


def test_western_chinese_and_wide_texts_are_read_by_the_encoding_that_the_message_names(tmp_path):
    file = tmp_path / "a.csv"
    for encoding, title in {
        "latin-1": "Léon",
        "cp1252": "\u201cL\xe9on\u201d",
        "gb18030": "红楼梦",
        "utf-16": "红é",
    }.items():
        file.write_bytes(f"id,title\n1,{title}\n".encode(encoding))
        line = 1 if encoding == "utf-16" else 2
        with pytest.raises(UserError) as error:
            read_rows(FileConfig(path=str(file)), "k")
        assert str(error.value) == (
            f"k.path: {file}: line {line} is not UTF-8; write encoding: {encoding}, if that is what it is in"
        )
        assert read_rows(FileConfig(path=str(file), encoding=encoding), "k").table.to_pydict() == {
            "id": ["1"],
            "title": [title],
        }


def test_json_has_an_encoding_too(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes((json.dumps({"title": "Léon"}, ensure_ascii=False) + "\n").encode("latin-1"))
    assert read_rows(FileConfig(path=str(file), encoding="latin-1"), "k").table.to_pydict() == {"title": ["Léon"]}


def test_bytes_that_are_not_of_the_encoding_given_are_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,title\n1,\xff\n")
    with pytest.raises(UserError, match=r"a\.csv: is not gb18030, as encoding says: 'gb18030' codec can't decode"):
        read_rows(FileConfig(path=str(file), encoding="gb18030"), "k")


def test_the_character_that_stands_for_a_long_separator_is_refused(tmp_path):
    (tmp_path / "a.dat").write_text("a::b\n1::\x1f\n")
    with pytest.raises(UserError, match=r"holds the control character '.x1f', which only separators of one"):
        read_rows(FileConfig(path=str(tmp_path / "a.dat"), separator="::"), "k")


def test_the_first_bytes_are_skipped_only_once(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\na;b\nsep=;;1\n")
    with pytest.raises(UserError, match="line 2: has 3 fields"):
        read_rows(FileConfig(path=str(tmp_path / "a.csv")), "k")
