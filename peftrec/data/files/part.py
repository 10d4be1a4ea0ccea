"""What reading one file gives."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Part:
    """The rows of one file: those of its columns that were wanted, all their names, and notes on how it was read."""

    file: str
    table: pa.Table
    names: list[str]
    notes: list[str]
