"""Whether the quotes of a delimited file stand around its fields or are letters of them; its rows counted for both.

A file is quoted where every field that begins with a quote ends with one, before a separator or a line's end, quotes
within it doubled, and every row has as many fields as the first. It is plain where every line has as many fields as the
first. Where both hold, quotes in fields without quotes around them (Say "cheese") speak for a plain file: writers of
quoted ones quote such fields. Without any it is quoted if both give equally many rows; if not, some quoted field holds
both separators and line breaks, and what is right depends on the file's custom.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from peftrec.data.columns import is_number

_LONGEST = 1 << 24  # bytes of a quoted field
_BREAK = ord("\n")
_DOUBTED = 100  # lines that are looked at, to tell quoted from plain


@dataclass
class Reading:
    """What a file is in one of the two ways; `wrong` says why it cannot be read so.

    rows, fields  of the first row as of all; blank lines are no rows
    marks         plain: quotes at an end of a field; quoted: fields that hold both separators and line breaks
    first         the first row (from 0) with such a mark
    letters       quoted: quotes in fields without quotes around them
    within        quoted: lines (from 0) that begin within a field in quotes, the first of them
    """

    rows: int = 0
    lines: int = 0
    fields: int = 0
    marks: int = 0
    first: int = 0
    letters: int = 0
    within: list[int] = field(default_factory=list)
    wrong: str | None = None


def scan(blocks: Iterable[bytes], separator: str, quote: str) -> tuple[Reading, Reading, bytes]:
    """The plain and the quoted reading of blocks of whole lines, and the first line."""
    plain, quoted, head, rest = Reading(), Reading(), b"", b""
    for block in blocks:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        block = block if block.endswith(b"\n") else block + b"\n"
        head = head or block.lstrip(b"\n").partition(b"\n")[0]
        has_quotes = quote.encode() in block
        _add(plain, block, separator, _Fields.none(), quote if has_quotes else "")
        if quoted.wrong is None:
            rest += block
            fields = _quoted_fields(rest, separator, quote) if has_quotes or len(rest) > len(block) else _Fields.none()
            whole = len(rest) if fields.open is None else rest.rfind(b"\n", 0, fields.open) + 1
            if fields.wrong is not None:
                quoted.wrong = f"line {_line(quoted, rest, fields.wrong)}: a quote within a quoted field is not doubled"
            elif fields.open is not None and len(rest) - fields.open > _LONGEST:
                quoted.wrong = f"line {_line(quoted, rest, fields.open)}: a quoted field does not end"
            else:
                _add(quoted, rest[:whole], separator, fields, "")
                quoted.letters += fields.letters
                rest = rest[whole:]
    if rest and quoted.wrong is None:
        at = rest.find(quote.encode())
        quoted.wrong = f"line {_line(quoted, rest, at)}: a quoted field does not end"
    return plain, quoted, head


def told_by_numbers(lines: Iterable[bytes], separator: str, quoted: Reading) -> bool:
    """Whether every line that begins within a field in quotes would have words where all other rows have numbers.

    Then it is no row: the file, which could be plain too, is quoted. `lines` are the first ones, the names aside.
    """
    within = set(quoted.within)
    doubted: list[list[bool]] = []
    rows: list[list[bool]] = []
    for number, line in enumerate(lines):
        if line.strip():
            fields = line.decode(errors="replace").rstrip("\r\n").split(separator)
            (doubted if number in within else rows).append([is_number(of) for of in fields])
    numeric = [len(rows) > 1 and all(column) for column in zip(*rows, strict=False)]
    return bool(doubted) and all(any(n and not of for n, of in zip(numeric, row, strict=False)) for row in doubted)


@dataclass
class _Fields:
    """Where a block's quoted fields open and close; `open`: one that does not; `wrong`: a quote that may not be."""

    opens: np.ndarray
    closes: np.ndarray
    open: int | None = None
    wrong: int | None = None
    letters: int = 0

    @staticmethod
    def none() -> "_Fields":
        return _Fields(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _line(reading: Reading, block: bytes, at: int) -> int:
    return reading.lines + block.count(b"\n", 0, at) + 1


def _add(reading: Reading, block: bytes, separator: str, quoted: _Fields, quote: str) -> None:
    """Count a block's rows and check their fields; what lies within quoted fields is no separator and no end."""
    lines = block.count(b"\n")
    within = max(reading.fields - 1, 0)
    if within and not quote and not len(quoted.opens) and block.count(separator.encode()) == lines * within:
        reading.rows += lines  # the common case, four times as fast
        reading.lines += lines
        return
    letters = np.frombuffer(block, np.uint8)
    breaks, between = np.flatnonzero(letters == _BREAK), np.flatnonzero(letters == ord(separator))
    ends, seps = breaks, between
    if len(quoted.opens):
        inside = _inside(quoted, breaks)
        if len(reading.within) < _DOUBTED:
            reading.within += (np.flatnonzero(inside)[:_DOUBTED] + reading.lines + 1).tolist()
        ends, seps = ends[~inside], seps[~_inside(quoted, seps)]
    fields = np.diff(np.searchsorted(seps, ends), prepend=0) + 1
    there = np.diff(ends, prepend=-1) > 1  # blank lines are no rows
    if not reading.fields and there.any():
        reading.fields = int(fields[np.argmax(there)])
    wrong = np.flatnonzero(there & (fields != reading.fields))
    if len(wrong) and reading.wrong is None:
        row = int(wrong[0])
        more = "; quote fields that hold the separator" if fields[row] > reading.fields else ""
        if fields[row] == reading.fields + 1 and letters[ends[row] - 1] == ord(separator):
            more = "; it ends with the separator: end the first line with it too, or none"
        line = reading.lines + int(np.searchsorted(breaks, ends[row])) + 1
        found = f"{fields[row]} field{'s' if fields[row] > 1 else ''}"
        reading.wrong = f"line {line}: has {found}, the first line has {reading.fields}{more}"
    marks = _edges(letters, separator, quote) if quote else _both(quoted, breaks, between)
    if len(marks) and not reading.marks:
        row = int(np.searchsorted(ends, marks[0]))
        reading.first = reading.rows + int(there[:row].sum())
    reading.marks += len(marks)
    reading.rows += int(there.sum())
    reading.lines += lines


def _inside(quoted: _Fields, at: np.ndarray) -> np.ndarray:
    """Which of the positions lie within quoted fields."""
    before = np.searchsorted(quoted.opens, at)
    return (before > 0) & (at < np.append(quoted.closes, np.iinfo(np.int64).max)[np.maximum(before - 1, 0)])


def _edges(letters: np.ndarray, separator: str, quote: str) -> np.ndarray:
    """The positions of quotes that begin or end a field."""
    at = np.flatnonzero(letters == ord(quote))
    return at[_ends(letters, at - 1, separator) | _ends(letters, at + 1, separator)]


def _both(quoted: _Fields, breaks: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Where quoted fields open that hold a line break and a separator."""
    opens, closes = quoted.opens[: len(quoted.closes)], quoted.closes
    has = [np.searchsorted(of, opens) < np.searchsorted(of, closes) for of in (breaks, between)]
    return opens[has[0] & has[1]]


def _ends(letters: np.ndarray, at: np.ndarray, separator: str) -> np.ndarray:
    """Whether a field ends at the positions: a separator, a line's end, the block's."""
    letter = letters[np.clip(at, 0, len(letters) - 1)]
    return (at < 0) | (at >= len(letters)) | (letter == _BREAK) | (letter == ord(separator))


def _quoted_fields(block: bytes, separator: str, quote: str) -> _Fields:
    """The quoted fields of a block that begins with a row."""
    letters = np.frombuffer(block, np.uint8)
    at = np.flatnonzero(letters == ord(quote))
    opens, closes = at[0::2], at[1::2]
    doubled = closes[: max(len(opens) - 1, 0)] + 1 == opens[1:]
    opens = opens[np.append(True, ~doubled)] if len(opens) else opens
    closes = closes[np.append(~doubled, np.ones(len(closes) - len(doubled), bool))]
    if _ends(letters, opens - 1, separator).all() and _ends(letters, closes + 1, separator).all():
        return _Fields(opens, closes, int(opens[-1]) if len(opens) > len(closes) else None)
    return _one_by_one(block, at.tolist(), separator, quote)


def _one_by_one(block: bytes, at: list[int], separator: str, quote: str) -> _Fields:
    """As `_quoted_fields`, for blocks with quotes that are letters of fields without quotes around them."""
    ends = {_BREAK, ord(separator)}
    opens: list[int] = []
    closes: list[int] = []
    number = letters = 0
    while number < len(at):
        here = at[number]
        following = at[number + 1] if number + 1 < len(at) else -1
        number += 1
        if len(opens) == len(closes):
            if here == 0 or block[here - 1] in ends:
                opens.append(here)
            else:
                letters += 1
        elif following == here + 1:
            number += 1  # a doubled quote
        elif here + 1 == len(block) or block[here + 1] in ends:
            closes.append(here)
        else:
            return _Fields(np.array(opens), np.array(closes), wrong=here)
    last = opens[-1] if len(opens) > len(closes) else None
    return _Fields(np.array(opens, np.int64), np.array(closes, np.int64), last, letters=letters)
