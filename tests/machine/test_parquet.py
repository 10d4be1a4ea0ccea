"""Parquet from elsewhere: what it may unpack to, what its columns hold."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.errors import UserError
from peftrec.machine.parquet import LEAST, read_columns

KINDS = {"id": "texts", "n": "whole numbers", "x": "numbers", "p": "numbers or lists of them"}


def written(folder, codec="snappy", **columns):
    table = {"id": ["a", "b", "a"], "n": [1, 2, 3], "x": [0.5, 1.0, 2.0], "p": [[0.5, 0.5]] * 3, **columns}
    pq.write_table(pa.table(table), folder / "t.parquet", compression=codec)
    return folder / "t.parquet"


def test_columns_come_back_and_others_are_left(tmp_path):
    table = read_columns(written(tmp_path, more=[{"a": 1}] * 3), KINDS)
    assert table.column_names == list(KINDS)
    assert table["id"].to_pylist() == ["a", "b", "a"] and table["n"].to_pylist() == [1, 2, 3]
    assert table["x"].to_pylist() == [0.5, 1.0, 2.0] and table["p"].to_pylist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [1, 2, 3]}, "column 'id' must hold texts; found int64"),
        ({"id": [b"a", b"b", b"c"]}, "column 'id' must hold texts; found binary"),
        ({"n": ["1", "2", "3"]}, "column 'n' must hold whole numbers; found string"),
        ({"n": [0.5, 1.5, 2.5]}, "column 'n' must hold whole numbers; found double"),
        ({"n": pa.array([1, 2, 2**64 - 1], pa.uint64())}, "column 'n' must hold whole numbers; found uint64"),
        ({"x": [[1.0]] * 3}, "column 'x' must hold numbers; found list"),
        ({"p": [["a"]] * 3}, "column 'p' must hold numbers or lists of them; found list"),
        ({"id": ["a", None, "b"]}, "column 'id' has rows without a value"),
        ({"x": [1.0, None, 2.0]}, "column 'x' has rows without a value"),
    ],
)
def test_what_a_column_may_not_hold_is_named(tmp_path, columns, message):
    file = written(tmp_path, **columns)
    with pytest.raises(UserError) as error:
        read_columns(file, KINDS)
    assert str(error.value).startswith(f"{file}: {message}")


def test_a_column_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no column .other."):
        read_columns(written(tmp_path), {**KINDS, "other": "texts"})


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"x" * 1000])
def test_what_is_no_parquet_is_one_message(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"t\.parquet: cannot be read: "):
        read_columns(tmp_path / "t.parquet", KINDS)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_what_packs_without_bound_is_refused(tmp_path, codec):
    with pytest.raises(UserError, match=f"compressed by {codec.upper()}; a run's tables are by SNAPPY"):
        read_columns(written(tmp_path, codec), KINDS)


def bomb_of_rows(file):
    """Numbers that are all the same: a million rows in a few bytes, again and again."""
    with pq.ParquetWriter(file, pa.schema({"n": pa.int64()})) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"n": np.zeros(1 << 20, np.int64)}))


def bomb_of_texts(file):
    """One long text in many rows: held once in the file."""
    text = pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), pa.array(["x" * 66_000]))
    pq.write_table(pa.table({"id": text}), file)


@pytest.mark.parametrize(("bomb", "kinds"), [(bomb_of_rows, {"n": "whole numbers"}), (bomb_of_texts, {"id": "texts"})])
def test_a_small_file_that_is_large_in_memory_is_refused_before_it_is_unpacked(tmp_path, bomb, kinds):
    file = tmp_path / "t.parquet"
    bomb(file)
    assert file.stat().st_size < 150_000
    before = pa.total_allocated_bytes()
    pa.default_memory_pool().release_unused()
    with pytest.raises(UserError, match=r"would unpack to [\d,]+ (bytes|in memory); at most 67,108,864 do$") as error:
        read_columns(file, kinds)
    assert str(file) in str(error.value)
    assert pa.total_allocated_bytes() - before < LEAST


def test_a_table_without_rows_needs_no_type(tmp_path):
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "text": []}), tmp_path / "empty.parquet")
    table = read_columns(tmp_path / "empty.parquet", {"id": "texts", "text": "texts"})
    assert (table["id"].to_pylist(), table["text"].to_pylist()) == ([], [])
