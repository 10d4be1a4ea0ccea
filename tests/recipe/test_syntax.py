"""YAML as recipes have it: plain values, each key once, and an end to depth, size and numbers."""

from pathlib import Path

import pytest
import yaml

from peftrec.errors import UserError
from peftrec.recipe import syntax
from peftrec.recipe.syntax import dump_yaml, parse_yaml, read_yaml

# Each line stands for nine of the line above: written out, the last has 9^9 values.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n"
for _before, _after in zip("abcdefgh", "bcdefghi", strict=True):
    BOMB += f"{_after}: &{_after} [{', '.join([f'*{_before}'] * 9)}]\n"


def complaint(text):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "r.yaml")
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    assert message.startswith("r.yaml: not valid YAML: ")
    return message


REFUSED = [
    (BOMB, "aliases are not read; write out what *a stands for", "line 2, column 8"),
    ("a: &a 1\nb: *a\n", "aliases are not read; write out what *a stands for", "line 2, column 4"),
    ("*nobody", "aliases are not read", "line 1, column 1"),
    ("&a [*a]", "aliases are not read", "line 1, column 5"),
    ("a:\n  <<: {b: 1}\n", "merge keys (<<) are not read", "line 2, column 3"),
    ("a: !!bool x", "tags are not read; leave out !!bool", "line 1, column 4"),
    ("a: !!timestamp x", "tags are not read; leave out !!timestamp", "line 1, column 4"),
    ('a: !!int ""', "tags are not read; leave out !!int", "line 1, column 4"),
    ("a: !!float x", "tags are not read; leave out !!float", "line 1, column 4"),
    ("a: !!set {b}", "tags are not read; leave out !!set", "line 1, column 4"),
    ("a: !!binary eA==", "tags are not read; leave out !!binary", "line 1, column 4"),
    ("!mine {a: 1}", "tags are not read; leave out !mine", "line 1, column 1"),
    ("[" * 900_000, "more than 32 groups and lists inside each other", "line 1, column 33"),
    ("{a: " * 40, "more than 32 groups and lists inside each other", "line 1, column 126"),
    ("- " * 40, "more than 32 groups and lists inside each other", "line 1, column 65"),
    ("a: " + "7" * 5000, "a number or date of 5,000 letters; quote it", "line 1, column 4"),
    ("a: " + ":".join(["1"] * 300_000), "a number or date of 599,999 letters", "line 1, column 4"),
    ("a: 0b_", "invalid literal for int()", "line 1, column 4"),
    ("a: 2024-13-01", "month must be in 1..12", "line 1, column 4"),
    ("a: 010", "010 has a colon or a zero before it, which YAML reads as another number", "line 1, column 4"),
    ("a: [-0777]", "-0777 has a colon or a zero before it", "line 1, column 5"),
    ("a: 1:30", "1:30 has a colon or a zero before it", "line 1, column 4"),
    ("a: 12:30:45.5", "12:30:45.5 has a colon or a zero before it", "line 1, column 4"),
    (f"{'k' * 900}: 1\n{'k' * 900}: 1", "(900 letters) is given twice", "line 2, column 1"),
]


@pytest.mark.parametrize(("text", "said", "place"), REFUSED, ids=range(len(REFUSED)))  # some texts are a MB
def test_what_is_no_plain_value_is_refused_with_its_place(text, said, place):
    message = complaint(text)
    assert said in message
    assert place in message


def test_numbers_as_people_write_them_are_numbers():
    assert parse_yaml("[0, -0, 0.5, 1_000, 0x10, 5e-4, 08, '010', '1:30', 2024-05-31]", "r.yaml")[:9] == [
        *(0, 0, 0.5, 1000, 16, 0.0005),
        *("08", "010", "1:30"),
    ]


def test_a_device_without_end_is_refused():
    with pytest.raises(UserError, match=r"/dev/zero: at most 1,000,000 bytes are read; found 1,000,001"):
        read_yaml(Path("/dev/zero"))


def test_depth_and_number_of_values_have_an_end(monkeypatch):
    assert parse_yaml("[" * 32 + "]" * 32, "r.yaml") != []
    complaint("[" * 33 + "]" * 33)
    monkeypatch.setattr(syntax, "MOST_VALUES", 5)
    assert parse_yaml("{a: [1, 2]}", "r.yaml") == {"a": [1, 2]}  # the group, its key, the list, two numbers
    assert "more than 5 keys and values" in complaint("{a: [1, 2, 3]}")


def test_a_text_or_file_beyond_the_size_is_not_read(tmp_path, monkeypatch):
    text = "a: '" + "x" * 1_000_000 + "'"
    with pytest.raises(UserError, match=r"^r\.yaml: at most 1,000,000 bytes are read; found 1,000,005$"):
        parse_yaml(text, "r.yaml")
    (tmp_path / "r.yaml").write_text(text)
    monkeypatch.setattr(type(tmp_path), "read_text", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"r\.yaml: at most 1,000,000 bytes are read; found 1,000,005$"):
        read_yaml(tmp_path / "r.yaml")


def test_what_stands_in_several_places_is_written_out():
    part = {"r": [1, 2]}
    assert "&" in yaml.safe_dump([part, part])
    dumped = dump_yaml({"a": part, "b": part})
    assert dumped == "a:\n  r:\n  - 1\n  - 2\nb:\n  r:\n  - 1\n  - 2\n"
    assert parse_yaml(dumped, "dumped") == {"a": part, "b": part}
