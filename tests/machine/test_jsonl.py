"""JSON lines: which line an object stands on, whatever is between them, and what is refused."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftrec.errors import UserError
from peftrec.machine import jsonl
from peftrec.machine.jsonl import read_objects

OBJECTS = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.booleans()), max_size=3)


@settings(max_examples=60)
@given(st.lists(st.tuples(OBJECTS, st.integers(0, 2))), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_every_object_is_found_on_its_line(tmp_path_factory, rows, end, mark, ascii_only):
    lines, expected = [], {}
    for row, blank in rows:
        lines += [" "] * blank + [json.dumps(row, ensure_ascii=ascii_only)]
        expected[len(lines)] = row
    file = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    content = end.join(lines).encode("utf-8-sig" if mark else "utf-8")
    file.write_bytes(content)
    assert read_objects(file) == expected


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "one\u2028two\x85three"}\n{"text": "four"}\n', encoding="utf-8")
    assert read_objects(file) == {1: {"text": "one\u2028two\x85three"}, 2: {"text": "four"}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"item": "1", "item": "2"}', "line 3: the key 'item' is given twice"),
        ('{"history": [{"item": "1", "item": "2"}]}', "line 3: the key 'item' is given twice"),
        ('{"item": ', "line 3: not JSON: "),
        ("[" * 100_000, "line 3: not JSON: "),
        ('"item"', 'line 3: a row is a JSON object, found "item"'),
    ],
)
def test_what_is_no_object_is_refused_with_its_line(tmp_path, line, message):
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"item": "1"}}\n\n{line}\n')
    with pytest.raises(UserError) as error:
        read_objects(file)
    assert str(error.value).startswith(f"{file}, {message}")


def test_what_cannot_be_read_is_refused_with_its_name(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9"}')
    for name in ("latin.jsonl", "nowhere.jsonl"):
        with pytest.raises(UserError, match=f"{name}: cannot be read: "):
            read_objects(tmp_path / name)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"^/dev/zero, line 1: longer than 16,777,216 bytes, which no row"):
        read_objects(Path("/dev/zero"))
    monkeypatch.setattr(jsonl, "MOST_LINE", 20)
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{"item": "12345678"}')
    assert read_objects(file) == {1: {"a": 1}, 2: {"item": "12345678"}}
    file.write_text('{"a": 1}\n{"item": "12345678 "}')
    with pytest.raises(UserError, match="line 2: longer than 20 bytes"):
        read_objects(file)


def test_a_pipe_is_read_to_its_end(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writes = threading.Thread(target=pipe.write_text, args=['{"a": 1}\n\n{"a": 2}\n'])
    writes.start()
    assert read_objects(pipe) == {1: {"a": 1}, 3: {"a": 2}}
    writes.join()
