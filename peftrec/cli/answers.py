"""Files of rows that ask, and files of what is recommended to them."""

import csv
import io
from pathlib import Path
from typing import Any

from peftrec.errors import UserError
from peftrec.machine.files import refuse_output, to_json, write_output
from peftrec.machine.jsonl import read_objects
from peftrec.machine.progress import note
from peftrec.tasks.rows import Row

TABLES = (".csv", ".tsv", ".parquet")
LISTS = ("history", "candidates", "exclude")  # columns of ids: a list, or a text such as 7,12
COLUMNS = ("user", "query", *LISTS, "user_features", "features")
NAMES = ("user", "query")  # what says in the answers who asked
ENDINGS = (".jsonl", ".csv", ".parquet", "")  # of files of answers; devices and pipes have none


def read_rows_asked(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a file, and where each stands in it: a table by its ending, else JSON lines. Raises UserError."""
    if path.suffix.lower() not in TABLES:
        given = read_objects(path)
        return list(given.values()), [f"line {line}" for line in given]
    from peftrec.data.files import read_input

    table = read_input(path)
    names = [name for name in table.names if name in COLUMNS]
    if not {"user", "query", "history"} & set(names):
        raise UserError(f"{path}: no column user, history or query; it has {', '.join(table.names)}")
    if others := [name for name in table.names if name not in COLUMNS]:
        note(f"{path}: columns that are not read: {', '.join(others)}")
    columns = [[_cell(name, value) for value in table.column(name).to_pylist()] for name in names]
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return rows, [f"row {number}" for number in range(1, len(rows) + 1)]


def _cell(name: str, value: Any) -> Any:
    """A cell as a row has it; null is not given."""
    from peftrec.data.columns import plain

    if value is None or name not in (*NAMES, *LISTS):
        return value
    if name in LISTS:
        parts = value if isinstance(value, list) else plain(value).split(",")
        return [part if isinstance(part, dict) else plain(part).strip() for part in parts if parts != [""]]
    return plain(value)


def flat(answer: Row) -> Row:
    """An answer without dicts inside: `scores.NAME` for each of its scores."""
    each = {f"scores.{name}": value for name, value in answer.get("scores", {}).items()}
    return {**{name: value for name, value in answer.items() if name != "scores"}, **each}


def lines_of(rows: list[Row], found: list[list[Row]]) -> str:
    """JSON lines, one for each row: its number (from 1), who asked, and the items."""
    lines = [
        {"row": n, **_name(row), "items": items} for n, (row, items) in enumerate(zip(rows, found, strict=True), 1)
    ]
    return "".join(to_json(line, indent=None) + "\n" for line in lines)


def check_output(file: Path) -> None:
    """Raise UserError where a file of answers exists, or its ending does not say what it shall be."""
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"{file}: name a file that ends in .jsonl, .csv or .parquet, which says how it is written")
    refuse_output(file)


def write_answers(file: Path, rows: list[Row], found: list[list[Row]]) -> None:
    """Write what is recommended: as a table one row for each item, or the lines of `lines_of`. Raises UserError."""
    kind = file.suffix.lower()
    if kind not in TABLES:
        write_output(file, lines_of(rows, found))
        return
    names = [name for name in NAMES if any(row.get(name) is not None for row in rows)]
    lines: list[Row] = [
        {"row": n, **{name: row.get(name) for name in names}, "rank": rank, **flat(item)}
        for n, (row, items) in enumerate(zip(rows, found, strict=True), 1)
        for rank, item in enumerate(items, 1)
    ]
    headings = list(lines[0]) if lines else ["row", *names, "rank", "item", "text", "score"]
    write_output(file, _parquet(headings, lines) if kind == ".parquet" else _csv(headings, lines))


def _name(row: Row) -> Row:
    return {name: row[name] for name in NAMES if row.get(name) is not None}


def _csv(headings: list[str], lines: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([line[name] for name in headings] for line in lines)
    return text.getvalue()


def _parquet(headings: list[str], lines: list[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"row": pa.int64(), "rank": pa.int64(), **dict.fromkeys(("user", "query", "item", "text"), pa.string())}
    columns = {name: pa.array([line[name] for line in lines], kinds.get(name, pa.float64())) for name in headings}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()
