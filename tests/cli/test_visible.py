"""What reaches a terminal commands it nothing."""

import json
import unicodedata

import pytest

from peftrec.cli.visible import visible


def test_plain_text_stays():
    text = "Amélie (2001).\tDrama\n日本 🎬 [bold] \\u001b"
    assert visible(text) == text
    assert visible(12) == "12"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("one\rtwo", "one\\u000dtwo"),
        ("\x9b31m", "\\u009b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\x00\x7f", "\\u0000\\u007f"),
    ],
)
def test_commands_are_written_out(text, shown):
    assert visible(text) == shown


def test_no_control_is_left_and_json_stays_the_same():
    every = "".join(map(chr, range(0x2100)))
    left = {letter for letter in visible(every) if unicodedata.category(letter) == "Cc"}
    assert left == {"\t", "\n"}
    value = {"title": every}
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value
