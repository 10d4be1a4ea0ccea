"""Files of rows: csv, tsv, jsonl, parquet and hub ids, read through `datasets` leaving nothing in its cache."""

import csv
import gzip
import re
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.rows import Rows
from peftrec.recipe import UserError

_FORMATS = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_CHUNK = 200_000  # rows; the builder's own 10,000 makes a csv of a million rows three times slower


def read_rows(path: str, key: str, columns: list[str]) -> Rows:
    """The rows of a file, of a folder that `datasets` understands, or of a hub data set's train split.

    key      the recipe key that holds `path`, for messages
    columns  those that will be asked for; others may be left unread

    Local files are streamed: `datasets` would otherwise keep a copy that it finds again by path and modification time,
    and so serve stale rows. Raises UserError.
    """
    file = Path(path)
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if file.is_file():
        if suffix not in _FORMATS:
            raise UserError(
                f"{key}: {path}: unknown kind of file; give csv, tsv, jsonl, parquet (csv and jsonl also .gz)"
            )
        return _read_file(file, _FORMATS[suffix], "\t" if suffix == "tsv" else ",", columns)
    if suffix in _FORMATS or not (file.is_dir() or _HUB_ID.fullmatch(path)):
        raise UserError(f"{key}: no such file: {path}")
    return _read_hub(path, key, streaming=file.is_dir())


def _read_file(file: Path, kind: str, separator: str, columns: list[str]) -> Rows:
    from datasets import Features, Value, load_dataset

    options: dict[str, Any] = {}
    available: list[str] | None = None
    if kind == "csv":
        # Every field stays the text it is in the file: guessed types change between chunks, and turn the brand 'NA'
        # into a missing value.
        available = _csv_header(file, separator)
        used = [name for name in available if name in columns] or available
        options = {
            "sep": separator,
            "features": Features({name: Value("string") for name in used}),
            "usecols": used,
            "na_filter": False,
            "index_col": False,
            "chunksize": _CHUNK,
        }
    try:
        with warnings.catch_warnings():
            # pandas only warns when all rows have more fields than the header, and drops the surplus.
            warnings.filterwarnings("error", message="Length of header or names does not match")
            stream = load_dataset(kind, data_files=str(file), split="train", streaming=True, **options)
            chunks = list(stream.with_format("arrow").iter(batch_size=_CHUNK))
            table = pa.concat_tables(chunks, promote_options="permissive") if chunks else pa.table({})
    except Exception as error:  # whatever the parsers raise is about this file
        raise UserError(f"{file}: cannot be read as {kind}: {_first_line(error)}") from None
    if not table.num_rows:
        raise UserError(f"{file}: holds no rows")
    return Rows(str(file), table, available or table.column_names)


def _read_hub(path: str, key: str, streaming: bool) -> Rows:
    from datasets import load_dataset

    try:
        data = load_dataset(path, split="train", streaming=streaming)
        table = pa.concat_tables(list(data.with_format("arrow").iter(batch_size=_CHUNK)))
    except Exception as error:  # no such id, no network, several configurations, no train split: the message says
        raise UserError(
            f"{key}: {path!r} is no file here, and as a hub id it cannot be loaded: {_first_line(error)}"
        ) from None
    return Rows(path, table, table.column_names)


def _csv_header(file: Path, separator: str) -> list[str]:
    opened = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
            header = next(csv.reader(lines, delimiter=separator), [])
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as csv: {error}") from None
    repeated = [name for name in header if header.count(name) > 1]
    if not header or repeated:
        raise UserError(f"{file}: the first line must name the columns, each once; found {header}")
    return header


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
