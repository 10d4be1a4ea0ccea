"""Files of rows: csv, tsv, jsonl, parquet and hub ids, read through `datasets` leaving nothing in its cache."""

import codecs
import csv
import glob
import gzip
import io
import re
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.rows import Rows
from peftrec.errors import UserError, first_line, looked_in, shown

_FORMATS = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_CHUNK = 200_000  # rows; the builder's own 10,000 makes a csv of a million rows three times slower


def read_rows(path: str, key: str) -> Rows:
    """The rows of a file, of a folder that `datasets` understands, or of a hub data set's train split.

    `key` is the recipe key that holds `path`, for messages. Local files are streamed past the cache of `datasets`,
    which would find its copy again by path and modification time, and so could serve stale rows. Raises UserError.
    """
    file = Path(path)
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if file.is_file():
        if suffix not in _FORMATS:
            raise UserError(f"{key}: {path}: unknown kind of file; give csv, tsv, jsonl (each also .gz) or parquet")
        return _read_file(file, key, suffix)
    if file.is_dir():
        try:
            return _read_folder(path)
        except Exception as error:  # no files of a known kind, no train split: the message says
            raise UserError(f"{key}: the folder {path} cannot be loaded: {first_line(error)}") from None
    if suffix in _FORMATS or not _HUB_ID.fullmatch(path):
        raise UserError(f"{key}: no such file: {path}{looked_in(path)}")
    return _read_hub(path, key)


def _read_file(file: Path, key: str, suffix: str) -> Rows:
    from datasets import Features, Value

    options: dict[str, Any] = {}
    if _FORMATS[suffix] == "csv":
        separator = "\t" if suffix == "tsv" else ","
        # Every field stays the text it is in the file: guessed types differ between chunks, and make the brand 'NA' a
        # missing value. index_col: never take the first column of rows that are too long for row names.
        features = Features({name: Value("string") for name in _csv_header(file, key, separator)})
        options = {"sep": separator, "features": features, "na_filter": False, "index_col": False, "chunksize": _CHUNK}
    try:
        with warnings.catch_warnings():
            # pandas drops what exceeds the header with a mere warning when all rows do.
            warnings.filterwarnings("error", message="Length of header or names does not match")
            rows = _read_streaming(file, _FORMATS[suffix], options)
        rows.table.validate(full=True)  # the reader of JSON takes texts that are not UTF-8
        return rows
    except Exception as error:  # whatever the parsers raise is about this file
        if _FORMATS[suffix] != "parquet":
            _check_utf8(file, key)
        reason = first_line(error)
        if reason.startswith("Length of header"):
            reason = "rows have more fields than the first line; quote fields that hold the separator"
        raise UserError(f"{key}: {file}: cannot be read as {suffix}: {reason}") from None


def _read_streaming(file: Path, kind: str, options: dict[str, Any]) -> Rows:
    from datasets import IterableDataset

    # Not load_dataset, which asks a server to count the use of its csv reader, and without a network waits for it.
    read = {"csv": IterableDataset.from_csv, "json": IterableDataset.from_json, "parquet": IterableDataset.from_parquet}
    # The builder locks its cache folder, though a stream writes nothing there.
    with tempfile.TemporaryDirectory() as cache, _quiet():
        # Brackets and stars in the name would be taken for a pattern.
        stream = read[kind](glob.escape(str(file.resolve())), cache_dir=cache, **options)
        return _rows(str(file), list(stream.with_format("arrow").iter(batch_size=_CHUNK)))


def _read_folder(path: str) -> Rows:
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache, _quiet():
        stream = load_dataset(path, split="train", streaming=True, cache_dir=cache)
        return _rows(path, list(stream.with_format("arrow").iter(batch_size=_CHUNK)))


def _read_hub(path: str, key: str) -> Rows:
    from datasets import load_dataset

    try:
        data = load_dataset(path, split="train")
        return _rows(path, list(data.with_format("arrow").iter(batch_size=_CHUNK)))
    except Exception as error:  # no such id, no network, several configurations, no train split: the message says
        raise UserError(
            f"{key}: {shown(path)} is no file{looked_in(path)}, and as a hub id it cannot be loaded: "
            f"{first_line(error)}"
        ) from None


def _rows(name: str, chunks: list[pa.Table]) -> Rows:
    if not chunks:
        raise UserError("it holds no rows")
    table = pa.concat_tables(chunks, promote_options="permissive")
    return Rows(name, table)


def _csv_header(file: Path, key: str, separator: str) -> list[str]:
    try:
        with _open(file) as raw:
            lines = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            header = next(csv.reader(lines, delimiter=separator), [])
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error) as error:
        _check_utf8(file, key)
        raise UserError(f"{key}: {file}: cannot be read: {first_line(error)}") from None
    if not header or "" in header or len(set(header)) < len(header):
        raise UserError(f"{key}: {file}: the first line must name the columns, each once; found {header}")
    return header


def _check_utf8(file: Path, key: str) -> None:
    """Raise UserError for a text file in another encoding, with the command that converts it."""
    with suppress(OSError, EOFError, zlib.error), _open(file) as lines:  # a damaged .gz has another message
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    advice = "the file is UTF-16; convert it: iconv -f utf-16 -t utf-8"
                else:
                    advice = "convert the file, if it is GBK with: iconv -f gbk -t utf-8"
                raise UserError(f"{key}: {file}: line {number} is not UTF-8; {advice}") from None


def _open(file: Path) -> Any:
    return gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of `datasets`: what it logs it also raises, and the message to the user holds it."""
    from datasets.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
