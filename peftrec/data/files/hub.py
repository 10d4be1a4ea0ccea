"""Folders of files and hub ids, read through `datasets` leaving nothing of local files in its cache."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from peftrec.data.columns import Compact, joined
from peftrec.data.rows import Rows
from peftrec.errors import UserError, first_line, looked_in, shown

_CHUNK = 200_000  # rows; the builders' own 10,000 make a csv of a million rows three times slower


def read_folder(path: str, key: str, wanted: Sequence[str] | None) -> Rows:
    """The rows of the train split of a folder that `datasets` understands, streamed past its cache. Raises UserError.

    The cache would find its copy again by path and modification time, and so could serve stale rows.
    """
    from datasets import load_dataset

    try:
        with tempfile.TemporaryDirectory() as cache, _quiet():
            stream = load_dataset(path, split="train", streaming=True, cache_dir=cache)
            return _rows(path, stream.with_format("arrow").iter(batch_size=_CHUNK), wanted)
    except Exception as error:  # no files of a known kind, no train split: the message says
        raise UserError(f"{key}.path: the folder {path} cannot be loaded: {first_line(error)}") from None


def read_hub(path: str, key: str, wanted: Sequence[str] | None) -> Rows:
    """The rows of a hub data set's train split. Raises UserError."""
    from datasets import load_dataset

    try:
        data = load_dataset(path, split="train")
        return _rows(path, data.with_format("arrow").iter(batch_size=_CHUNK), wanted)
    except Exception as error:  # no such id, no network, several configurations, no train split: the message says
        raise UserError(
            f"{key}.path: {shown(path)} is no file{looked_in(path)}, and as a hub id it cannot be loaded: "
            f"{first_line(error)}"
        ) from None


def _rows(name: str, tables: Iterator[pa.Table], wanted: Sequence[str] | None) -> Rows:
    chunks: dict[str, list[pa.Array]] = {}
    compact: dict[str, Compact] = {}
    names: list[str] = []
    for table in tables:
        names = names or table.column_names
        for column in [of for of in names if wanted is None or of in wanted] or names[:1]:
            small = compact.setdefault(column, Compact())
            chunks.setdefault(column, []).extend(map(small, table[column].chunks))
    if not chunks:
        raise UserError("it holds no rows")
    table = pa.table({of: joined(parts).unify_dictionaries() for of, parts in chunks.items()})
    return Rows(name, table, names=names)


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
