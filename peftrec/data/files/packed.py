"""Compressed files as streams of bytes: gz, bz2, xz, zst, and zip with one file in it."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from peftrec.errors import UserError, first_line

PACKED = ("gz", "bz2", "xz", "zst", "zip")
_MAGIC = {  # the first bytes of files that are no text, whatever they are called
    b"\x1f\x8b": "gzip (.gz)",
    b"BZh91AY&SY": "bzip2 (.bz2)",
    b"\xfd7zXZ\0": "xz (.xz)",
    b"\x28\xb5\x2f\xfd": "Zstandard (.zst)",
    b"PK\x03\x04": "zip or Excel (.zip, .xlsx)",
    b"PAR1\x15": "parquet (.parquet)",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "old Excel (.xls: save it as .xlsx)",
    b"ARROW1\0\0": "Arrow or Feather (save it as parquet)",
    b"SQLite format 3\0": "SQLite (export its table as csv)",
    b"%PDF-": "PDF",
}
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def inner_name(file: Path, key: str) -> str:
    """The name of what a file holds: without the ending of its compression, and of a zip its member's."""
    stem, _, suffix = file.name.rpartition(".")
    if suffix.lower() == "zip":
        with reading(file, key), zipfile.ZipFile(file) as packed:
            return Path(_member(packed, file, key)).name
    return stem if suffix.lower() in PACKED else file.name


@contextmanager
def opened(file: Path, key: str) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file. Raises UserError where its compression is damaged, also while they are read."""
    suffix = file.name.lower().rpartition(".")[2]
    with reading(file, key):
        if suffix == "zip":
            with zipfile.ZipFile(file) as packed, packed.open(_member(packed, file, key)) as stream:
                yield stream
        elif suffix == "zst":
            with pa.CompressedInputStream(pa.OSFile(str(file)), "zstd") as stream:
                yield cast(IO[bytes], stream)
        else:
            opening: Any = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(suffix, open)
            with opening(file, "rb") as stream:
                yield stream


@contextmanager
def reading(file: Path, key: str) -> Iterator[None]:
    """What an unpacker raises about a damaged file becomes a UserError."""
    try:
        yield
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{key}.path: {file}: cannot be read: {first_line(error)}") from None


def check_is_text(first: bytes, file: Path, key: str) -> None:
    """Raise UserError where the first bytes of an unpacked file are those of another format than its name says."""
    for magic, name in _MAGIC.items():
        if first.startswith(magic):
            raise UserError(f"{key}.path: {file}: it is no text, but {name}: name it so")


def _member(packed: zipfile.ZipFile, file: Path, key: str) -> str:
    names = [name for name in packed.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise UserError(
            f"{key}.path: {file}: a zip is read where it holds one file; found {len(names)}: {', '.join(names[:5])}; "
            "unpack it and name the file"
        )
    return names[0]
