import bz2
import gzip
import lzma
import re
import zipfile

import pyarrow as pa
import pytest

from peftrec.data.files import read_rows
from peftrec.data.files.packed import PACKED
from peftrec.errors import UserError
from peftrec.recipe import FileConfig

CONTENT = b"a\tb\n" + b"1\t2\n" * 1000


def zipped(file, **members):
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


PACK = {
    "gz": lambda file: file.write_bytes(gzip.compress(CONTENT)),
    "bz2": lambda file: file.write_bytes(bz2.compress(CONTENT)),
    "xz": lambda file: file.write_bytes(lzma.compress(CONTENT)),
    "zst": lambda file: file.write_bytes(pa.compress(CONTENT, codec="zstd", asbytes=True)),
    "zip": lambda file: zipped(file, **{"in/a.tsv": CONTENT, "__MACOSX/a.tsv": b"x"}),
}


def read(file):
    return read_rows(FileConfig(path=str(file)), "k")


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("upper", [False, True])
def test_every_compression_gives_the_same_rows(tmp_path, suffix, upper):
    file = tmp_path / f"a.tsv.{suffix.upper() if upper else suffix}"
    PACK[suffix](file)
    assert read(file).table.to_pydict() == {"a": ["1"] * 1000, "b": ["2"] * 1000}


def test_the_compressions_are_all_those_there_are():
    assert set(PACK) == set(PACKED)


def test_two_frames_are_one_file(tmp_path):
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert read(tmp_path / "a.tsv.gz").table.to_pydict() == {"a": ["1", "2"]}


def test_a_zip_is_read_by_the_name_in_it(tmp_path):
    zipped(tmp_path / "log.zip", **{"log.jsonl": b'{"a": 1}\n'})
    assert read(tmp_path / "log.zip").table.to_pydict() == {"a": [1]}
    zipped(tmp_path / "log.zip", **{"log.parquet": b""})
    with pytest.raises(UserError, match="a parquet file is read as it is; unpack it"):
        read(tmp_path / "log.zip")
    zipped(tmp_path / "log.zip", **{"a.csv": b"", "b.csv": b""})
    with pytest.raises(UserError, match=r"a zip is read where it holds one file; found 2: a\.csv, b\.csv; unpack"):
        read(tmp_path / "log.zip")


@pytest.mark.parametrize("suffix", PACK)
def test_damage_is_one_message(tmp_path, suffix):
    file = tmp_path / f"a.tsv.{suffix}"
    PACK[suffix](file)
    whole = file.read_bytes()
    for content in (b"nope" * 5, whole[: len(whole) // 2], whole[:-6]):
        file.write_bytes(content)
        with pytest.raises(UserError) as error:
            read(file)
        assert str(error.value).startswith(f"k.path: {file}: cannot be read: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip (.gz)"),  # its time would be in the name of the case
        (bz2.compress(b"a,b\n1,2\n"), "bzip2 (.bz2)"),
        (lzma.compress(b"a,b\n1,2\n"), "xz (.xz)"),
        (b"PK\x03\x04 ...", "zip or Excel (.zip, .xlsx)"),
        (b"PAR1\x15\x04", "parquet (.parquet)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel (.xls: save it as .xlsx)"),
        (b"SQLite format 3\0", "SQLite (export its table as csv)"),
        (b"%PDF-1.7\n", "PDF"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz"])
def test_what_is_no_text_is_told_by_what_it_is(tmp_path, first, said, suffix):
    file = tmp_path / f"t.{suffix}"
    file.write_bytes(gzip.compress(first) if suffix.endswith("gz") else first)
    with pytest.raises(UserError, match=re.escape(f"{file}: it is no text, but {said}: name it so")):
        read_rows(FileConfig(path=str(file)), "data.texts")
