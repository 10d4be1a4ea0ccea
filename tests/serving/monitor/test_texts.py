"""Texts with times of files and streams, and each mistake in them as one message."""

import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.errors import UserError
from peftrec.serving.monitor.texts import LONGEST, Text, read_texts, stream_texts

TEN = datetime(2026, 5, 1, 10, tzinfo=UTC).timestamp()


def test_a_file_is_read_in_order_of_its_times(tmp_path):
    rows = [("2026-05-01T11:00:00", "b", ""), ("2026-05-01T10:00:00", "a", "oil"), ("2026-05-01T11:00:00", "c", "oil")]
    csv, lines, table = (tmp_path / f"t.{ending}" for ending in ("csv", "jsonl", "parquet"))
    csv.write_text("time,text,topic,other\n" + "".join(f"{','.join(row)},1\n" for row in rows))
    named = [dict(zip(("time", "text", "topic"), row, strict=True)) for row in rows]
    lines.write_text("".join(json.dumps(row) + "\n" for row in named))
    pq.write_table(pa.table({"time": [datetime.fromisoformat(r[0]) for r in rows], "text": ["b", "a", "c"]}), table)
    for file, oil in ((csv, "oil"), (lines, "oil"), (table, None)):
        assert read_texts(file) == [
            Text(TEN, "a", oil, f"{file}: row 2"),
            Text(TEN + 3600, "b", None, f"{file}: row 1"),
            Text(TEN + 3600, "c", oil, f"{file}: row 3"),
        ]


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("time,text\nnow,a\n", ["row 1, column 'time': must be seconds since 1970 or an ISO date", "found 'now'"]),
        ("time,text\n2026-05-01,a\n2026-05-01,\n", ["row 2, column 'text': the text must not be empty; found ''"]),
        ("when,words\n1,a\n", ["no column 'time'", "no column 'text'"]),
        ("time,text\n2090-05-01,\n", ["column 'time': a time must not lie in the future", "column 'text'"]),
    ],
)
def test_all_mistakes_of_a_file_are_told(tmp_path, content, messages):
    file = tmp_path / "t.csv"
    file.write_text(content)
    with pytest.raises(UserError) as error:
        read_texts(file)
    assert str(error.value).startswith(str(file))
    assert all(message in str(error.value) for message in messages), str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^no such file: .*t\.csv"):
        read_texts(tmp_path / "t.csv")


def test_a_stream_is_read_line_by_line():
    class Slow(io.BytesIO):
        lines = 0

        def readline(self, size=-1):
            self.lines += 1
            return super().readline(size)

    slow = Slow(b'{"time": "2026-05-01T10:00:00Z", "text": "a", "topic": " oil "}\n\n{"time": 1777633200, "text": "b"}')
    texts = stream_texts(slow)
    assert next(texts) == Text(TEN, "a", "oil", "stdin: row 1") and slow.lines == 1
    assert list(texts) == [Text(1777633200, "b", None, "stdin: row 3")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello", "stdin: row 2: not JSON: "),
        (b"\xff", "stdin: row 2: not JSON: "),
        (b"[1]", r"stdin: row 2: must be a JSON object; found \[1\]"),
        (b'{"time": 1777633200, "text": "b", "text": "c"}', "stdin: row 2: the key 'text' is given twice"),
        (b'{"time": 1777633200, "txt": "b"}', "stdin: row 2: a row has the keys time, text, topic; found 'txt'"),
        (b'{"text": "b"}', "stdin: row 2: 'time' must be seconds since 1970 or an ISO date; found None"),
        (b'{"time": "soon", "text": "b"}', "stdin: row 2: 'time' must be seconds .*; found 'soon'"),
        (
            b'{"time": "2090-01-01", "text": "b"}',
            "row 2: column 'time': a time must not lie in the future; found '2090",
        ),
        (b'{"time": 1777633200, "text": " "}', "row 2: column 'text': must be a text that is not empty; found ' '"),
        (b'{"time": 1777633200, "text": "b", "topic": 7}', "row 2: column 'topic': must be a text or null; found 7"),
        (b" " * LONGEST + b"{}", "stdin: row 2: a line has at most 1,048,576 bytes"),
    ],
)
def test_a_wrong_line_of_a_stream_is_one_message(line, message):
    texts = stream_texts(io.BytesIO(b'{"time": 1777633200, "text": "b"}\n' + line + b"\n"))
    assert next(texts).text == "b"
    with pytest.raises(UserError, match=message):
        next(texts)
