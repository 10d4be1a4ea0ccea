"""JSON: objects one a line, or one list of them. Every value stays what it is beside others of another kind."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.columns import Compact, from_values, joined
from peftrec.data.files.text import Text
from peftrec.data.rows import Rows
from peftrec.errors import first_line, shown
from peftrec.recipe import FileConfig

_CHUNK = 100_000  # rows


def read_json(file: Path, key: str, config: FileConfig, suffix: str, wanted: Sequence[str] | None) -> Rows:
    """The rows of a file with the wanted columns (None: all); a key that a row lacks is null. Raises UserError."""
    text = Text(file, key, config, "\n")
    names: dict[str, Compact] = {}
    chunks: list[tuple[int, dict[str, pa.Array]]] = []
    objects = _objects(text, suffix)
    whole = next(objects, None)
    if whole is not None:
        second = next(objects, None)
        if second is None and _is_table(whole):
            raise text.fail(
                f"cannot be read as {suffix}: it is one object whose values hold the rows; write an object a line, or "
                "a list of them (pandas: orient='records')"
            )
        objects = chain([whole] if second is None else [whole, second], objects)
    while rows := [row for _, row in zip(range(_CHUNK), objects, strict=False)]:
        for name in dict.fromkeys(name for row in rows for name in row):
            names.setdefault(name, Compact())
        try:
            columns = {
                name: small(from_values([row.get(name) for row in rows]))
                for name, small in names.items()
                if wanted is None or name in wanted
            }
        except UnicodeEncodeError as error:  # half of a pair of \ud83d\ude00
            raise text.fail(f"cannot be read as {suffix}: {first_line(error)}") from None
        chunks.append((len(rows), columns))
    if not chunks:
        raise text.fail(f"cannot be read as {suffix}: it holds no rows")
    kept = [name for name in names if wanted is None or name in wanted] or [min(names)]
    columns = {name: joined([of[name] if name in of else pa.nulls(rows) for rows, of in chunks]) for name in kept}
    return Rows(str(file), pa.table({n: c.unify_dictionaries() for n, c in columns.items()}), names=list(names))


def _is_table(whole: dict[str, Any]) -> bool:
    """Whether the only object of a file is a table: its columns, as pandas writes them, or a list of rows in it."""
    values, lists = list(whole.values()), [of for of in whole.values() if isinstance(of, list)]
    if len(lists) == 1 and lists[0] and all(isinstance(row, dict) for row in lists[0]):
        return True
    if len(values) > 1 and len(lists) == len(values):
        return len(values[0]) > 1 and len(set(map(len, lists))) == 1
    return bool(values) and all(isinstance(of, dict) for of in values)


def _objects(text: Text, suffix: str) -> Iterator[dict[str, Any]]:
    number, blocks = 0, text.blocks()
    first = next(blocks, b"")
    decode = json.JSONDecoder(object_pairs_hook=_once).decode
    if first.lstrip().startswith(b"["):
        try:
            rows = decode((first + b"".join(blocks)).decode())
        except (ValueError, RecursionError) as error:
            raise text.fail(f"cannot be read as {suffix}: {first_line(error)}") from None
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise text.fail(f"cannot be read as {suffix}: row {number} is no object; found {shown(row)}")
            yield row
        return
    while first:
        for line in first.split(b"\n"):
            number += 1
            if line.strip():
                try:
                    row = decode(line.decode())
                except (ValueError, RecursionError) as error:
                    raise text.fail(f"cannot be read as {suffix}: line {number}: {first_line(error)}") from None
                if not isinstance(row, dict):
                    raise text.fail(f"cannot be read as {suffix}: line {number} is no object; found {shown(row)}")
                yield row
        number -= 1  # what follows a block's last break is the next block's first line
        first = next(blocks, b"")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(again)} is specified twice")
    return found
