"""Parquet: files, and folders of them whose names carry columns (`day=2024-05-31/part-0.parquet`)."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from peftrec.data.columns import Compact, joined
from peftrec.data.rows import Rows
from peftrec.errors import UserError, first_line

_ROWS = 1 << 18  # at once


def read_parquet(file: Path, key: str, wanted: Sequence[str] | None) -> Rows:
    """The rows of a file with the wanted columns (None: all). Raises UserError."""
    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            kept = [name for name in names if wanted is None or name in wanted] or [min(names)]
            compact = {name: Compact() for name in kept}
            chunks: dict[str, list[pa.Array]] = {name: [] for name in kept}
            for batch in opened.iter_batches(_ROWS, columns=kept):
                for name in kept:
                    chunks[name].append(compact[name](batch.column(name)))
        columns = {name: joined(of).unify_dictionaries() for name, of in chunks.items()}
        table = pa.table(columns)
        table.validate(full=True)  # texts that are not UTF-8
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UserError(f"{key}.path: {file}: cannot be read as parquet: {first_line(error)}") from None
    if not table.num_rows:
        raise UserError(f"{key}.path: {file}: cannot be read as parquet: it holds no rows")
    return Rows(str(file), table, names=names)


def partitioned(folder: Path) -> list[Path]:
    """The parquet files of a folder whose folders are named `column=value`; none where it is not divided so."""
    return sorted(
        file
        for file in folder.rglob("*.parquet")
        if file.is_file() and any("=" in name for name in file.relative_to(folder).parts[:-1])
    )
