"""JSON lines that a user gives."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peftrec.errors import UserError, shown

MOST_LINE = 1 << 24  # bytes: a row of a thousand long texts has fewer, and what never ends is not read on


def read_objects(path: Path) -> dict[int, dict[str, Any]]:
    """Line number, from 1 -> object of a JSON lines file, in order; blank lines are skipped.

    UTF-8, with a byte order mark or without. Raises UserError naming file and line, also for a line without end.
    """
    rows = {}
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=no_repeats)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: a row is a JSON object, found {line.strip()[:60]}")
        rows[number] = row
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """A file's lines and their numbers, from 1. Lines end at a line feed alone: JSON allows U+2028 in a text."""
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MOST_LINE + 1):
                number += 1
                if len(line) > MOST_LINE:
                    raise UserError(
                        f"{path}, line {number}: longer than {MOST_LINE:,} bytes, which no row of JSON lines is: give "
                        "a file with one JSON object a line"
                    )
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a repeated key, of which JSON's reader would keep the last in silence, is refused."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise UserError(f"the key {shown(key)} is given twice")
        made[key] = value
    return made
