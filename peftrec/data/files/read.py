"""Which reader a file has by its name, and several files read as one."""

import glob
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from peftrec.data.columns import joined
from peftrec.data.files.delimited import SUFFIXES, read_delimited
from peftrec.data.files.excel import read_excel
from peftrec.data.files.hub import read_folder, read_hub
from peftrec.data.files.lines import read_json
from peftrec.data.files.packed import PACKED, inner_name
from peftrec.data.files.parquet import partitioned, read_parquet
from peftrec.data.rows import Rows
from peftrec.errors import UserError, looked_in, shown
from peftrec.machine.progress import note
from peftrec.recipe import FileConfig

_JSON, _PARQUET, _EXCEL = ("json", "jsonl", "ndjson"), ("parquet", "pq"), ("xlsx", "xlsm")
_UNSAID = ("dat", "data", "txt", "text")  # delimited by what the recipe says
_KNOWN = "csv, tsv, jsonl (each also .gz, .bz2, .xz, .zst, .zip), parquet, xlsx or RecBole's .inter, .item, .user, .kg"
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
# The keys that say how a file is read, and which kinds of files read them.
_KEYS = ("separator", "header", "names", "encoding", "quote", "comment")
_READ_BY = {
    "a JSON file": ("encoding",),
    "an Excel file": ("header", "names"),
    "a parquet file": (),
    "a folder": (),
    "a hub data set": (),
}


def read_input(path: Path) -> Rows:
    """The rows of a table that a command was given as `--input`; what was made of it is told. Raises UserError."""
    try:
        table = read_rows(FileConfig(path=str(path)), "--input")
    except UserError as error:
        raise UserError(str(error).removeprefix("--input.path: ")) from None
    for line in table.notes:
        note(line)
    return table


def read_rows(file: FileConfig, key: str, columns: Sequence[str] | None = None) -> Rows:
    """The rows of a file, of several by a pattern, of a folder, or of a hub data set's train split.

    `key` is the recipe key of the table, for messages; `columns` are those that will be read, None all: others need not
    be held. Local files are read anew each time. Raises UserError.
    """
    path = Path(file.path)
    if path.is_file():
        return _rows(file, [_read(path, key, file, columns)])
    if path.is_dir():
        return _rows(file, _of_folder(path, key, file, columns))
    if glob.has_magic(file.path):
        found = sorted(of for of in glob.glob(file.path, recursive=True) if Path(of).is_file())
        if not found:
            raise UserError(f"{key}.path: no file matches {file.path}{looked_in(file.path)}")
        return _rows(file, _alike(key, [_read(Path(of), key, file, columns) for of in found]))
    if _suffix(path.name) in (*SUFFIXES, *_JSON, *_PARQUET, *_EXCEL, *_UNSAID) or not _HUB_ID.fullmatch(file.path):
        raise UserError(f"{key}.path: no such file: {file.path}{looked_in(file.path)}")
    _check_keys(key, file, "a hub data set")
    return _rows(file, [read_hub(file.path, key, columns)])


def _suffix(name: str) -> str:
    """The ending of a file's name, a compression's aside, in small letters."""
    stem, _, suffix = name.lower().rpartition(".")
    return stem.rpartition(".")[2] if suffix in PACKED else suffix


def _read(path: Path, key: str, config: FileConfig, columns: Sequence[str] | None) -> Rows:
    suffix = _suffix(path.name)
    if path.name.lower().endswith(".zip"):
        suffix = inner_name(path, key).lower().rpartition(".")[2]
    packed = path.name.lower().rpartition(".")[2] in PACKED
    if packed and suffix in (*_PARQUET, *_EXCEL):
        raise UserError(f"{key}.path: {path}: a {suffix} file is read as it is; unpack it")
    if suffix in _PARQUET:
        _check_keys(key, config, "a parquet file")
        return read_parquet(path, key, columns)
    if suffix in _EXCEL:
        _check_keys(key, config, "an Excel file")
        return read_excel(path, key, config, columns)
    if suffix in _JSON:
        _check_keys(key, config, "a JSON file")
        return read_json(path, key, config, suffix, columns)
    if suffix in (*SUFFIXES, *_UNSAID) or config.separator is not None:
        return read_delimited(path, key, config, suffix, columns)
    raise UserError(f"{key}.path: {path}: unknown kind of file; give {_KNOWN}; or say how to read it: separator")


def _check_keys(key: str, config: FileConfig, kind: str) -> None:
    for name in _KEYS:
        given = getattr(config, name)
        if given != FileConfig.model_fields[name].default and name not in _READ_BY[kind]:
            raise UserError(f"{key}.{name}: is not read of {kind} ({config.path}); leave it out; found {shown(given)}")


def _of_folder(path: Path, key: str, config: FileConfig, columns: Sequence[str] | None) -> list[Rows]:
    _check_keys(key, config, "a folder")
    files = partitioned(path)
    if not files:
        return [read_folder(str(path), key, columns)]
    return _alike(key, [_with_folders(read_parquet(file, key, columns), path, file, columns) for file in files])


def _with_folders(part: Rows, folder: Path, file: Path, columns: Sequence[str] | None) -> Rows:
    """With the columns that the names of the folders between give, as texts."""
    given = dict(name.split("=", 1) for name in file.relative_to(folder).parts[:-1] if "=" in name)
    table = part.table
    for name, value in given.items():
        if name not in part.names and (columns is None or name in columns):
            of = pa.scalar(None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value), pa.string())
            table = table.append_column(name, pa.repeat(of, len(table)).dictionary_encode())
    return replace(part, table=table, names=list(dict.fromkeys([*part.names, *given])))


def _alike(key: str, parts: list[Rows]) -> list[Rows]:
    """The parts, with equal columns. Raises UserError."""
    first = parts[0]
    for part in parts[1:]:
        differ = sorted(set(part.names) ^ set(first.names))
        if differ:
            has, lacks = (first, part) if differ[0] in first.names else (part, first)
            raise UserError(
                f"{key}.path: files that are read as one must have equal columns: {has.file} has {shown(differ[0])}, "
                f"{lacks.file} has not"
            )
    return parts


def _rows(config: FileConfig, parts: list[Rows]) -> Rows:
    """The rows of one or more files as one."""
    first, notes = parts[0], list(dict.fromkeys(note for part in parts for note in part.notes))
    if len(parts) == 1:
        return replace(first, config=config)
    columns = {
        name: joined([chunk for part in parts for chunk in part.table[name].chunks]).unify_dictionaries()
        for name in first.table.column_names
    }
    counts = [(part.file, len(part)) for part in parts]
    return Rows(config.path, pa.table(columns), config, names=first.names, parts=counts, notes=notes)
