"""JSON lines that a user gives."""

import json
from pathlib import Path
from typing import Any

from peftrec.recipe import UserError


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file; blank lines are skipped. Raises UserError naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: a row is a JSON object, found {line.strip()[:60]}")
        rows.append(row)
    return rows
