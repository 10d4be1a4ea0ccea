"""JSON lines that a user gives."""

import json
from pathlib import Path
from typing import Any

from peftrec.errors import UserError, shown


def read_objects(path: Path) -> dict[int, dict[str, Any]]:
    """Line number, from 1 -> object of a JSON lines file, in order; blank lines are skipped.

    UTF-8, with a byte order mark or without. Raises UserError naming file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    rows = {}
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at U+2028, which JSON allows
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


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a repeated key, of which JSON's reader would keep the last in silence, is refused."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise UserError(f"the key {shown(key)} is given twice")
        made[key] = value
    return made
