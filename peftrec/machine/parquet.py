"""Parquet that somebody else may have made: held against what it may unpack to before anything of it is read."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from peftrec.errors import UserError
from peftrec.machine.files import reading

# Of what we write, a row takes some bytes more in memory than in the file; text and numbers that repeat may take many.
GROWTH = 200  # bytes in memory for each of the file
LEAST = 1 << 26  # bytes in memory that any file may take
FEW = 1 << 16  # rows that are read by one thread


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_signed_integer(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind)) and bool(pa.types.is_floating(kind.value_type))


# What a column may be called to hold -> its types.
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "texts": _is_text,
    "whole numbers": pa.types.is_signed_integer,
    "numbers": _is_number,
    "numbers or lists of them": lambda kind: _is_number(kind) or _is_list(kind),
}


def read_columns(file: Path, kinds: Mapping[str, str]) -> pa.Table:
    """The columns that `kinds` names, each of what it says ("texts", "whole numbers", "numbers", ...); no null in any.

    Texts come as a dictionary, so that one that repeats is held once. Raises UserError naming file, column and rule,
    before anything is read where the file would unpack to far more than it is, or is not compressed as ours are.
    """
    with reading(file):
        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow
        texts = [name for name in kinds if name in schema.names and _is_text(_values(schema.field(name).type))]
        with pq.ParquetFile(file, read_dictionary=texts) as opened:
            _check_size(file, opened.metadata, opened.schema_arrow)
            for name, kind in kinds.items():
                if schema.names.count(name) != 1:
                    raise UserError(f"{file}: no column {name!r}; it has {', '.join(schema.names)[:200] or 'none'}")
                found = _values(schema.field(name).type)
                # Of no rows pyarrow guesses no type, and some runs without items were written so.
                if not _KINDS[kind](found) and not (pa.types.is_null(found) and opened.metadata.num_rows == 0):
                    raise UserError(f"{file}: column {name!r} must hold {kind}; found {schema.field(name).type}")
            # Of few rows, waking threads takes several times as long as reading.
            many = opened.metadata.num_rows > FEW
            table = opened.read(columns=list(kinds), use_threads=many).combine_chunks()
        table.validate(full=True)
        for name in kinds:
            if table[name].null_count:
                raise UserError(f"{file}: column {name!r} has rows without a value")
            if name in texts:
                _check_texts(file, name, table[name])
        return table


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _most(file: Path) -> int:
    return max(LEAST, GROWTH * file.stat().st_size)


def _check_size(file: Path, metadata: pq.FileMetaData, schema: pa.Schema) -> None:
    """Snappy packs 64 bytes into three at best, whatever the file says of itself; a row counts whatever is in it."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    if foreign := {column.compression for column in columns} - {"SNAPPY", "UNCOMPRESSED"}:
        raise UserError(f"{file}: compressed by {foreign.pop()}; a run's tables are by SNAPPY")
    size = sum(column.num_values * 8 + column.total_uncompressed_size for column in columns)
    size = max(size, metadata.num_rows * 8 * len(schema))
    if size > _most(file):
        raise UserError(
            f"{file}: {file.stat().st_size:,} bytes would unpack to {size:,} in memory; at most {_most(file):,} do"
        )


def _check_texts(file: Path, name: str, column: pa.ChunkedArray) -> None:
    """Texts that repeat are one each so far, and will be one a row."""
    size = sum(pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks)
    if size > _most(file):
        raise UserError(f"{file}: column {name!r} would unpack to {size:,} bytes; at most {_most(file):,} do")
