"""Excel workbooks, by the optional package openpyxl."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from peftrec.data.columns import from_values
from peftrec.data.rows import Rows
from peftrec.errors import UserError, first_line, shown
from peftrec.recipe import FileConfig


def read_excel(file: Path, key: str, config: FileConfig, wanted: Sequence[str] | None) -> Rows:
    """The rows of a workbook's first sheet with the wanted columns (None: all); empty rows are none.

    Raises UserError.
    """
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError:
        raise UserError(
            f"{key}.path: {file}: Excel files are read by openpyxl, which is not installed: "
            "`pip install 'peftrec[excel]'`, or save the sheet as csv"
        ) from None
    try:
        book = load_workbook(file, read_only=True, data_only=True)
        sheets = book.worksheets
        rows = [row for row in sheets[0].iter_rows(values_only=True) if any(cell is not None for cell in row)]
        book.close()
    except Exception as error:  # whatever the parser raises is about this file
        raise UserError(f"{key}.path: {file}: cannot be read as Excel: {first_line(error)}") from None
    if not rows or (config.header and len(rows) == 1):
        raise UserError(f"{key}.path: {file}: cannot be read as Excel: its first sheet holds no rows")
    names = config.names or ["" if cell is None else str(cell).strip() for cell in rows[0]]
    given = [name for name in names if name]
    if not given or len(set(given)) < len(given):
        raise UserError(f"{key}.path: {file}: the first row must name the columns, each once; found {shown(names)}")
    body = rows[config.header :]
    width = max(map(len, body))
    if (config.names and width != len(names)) or any(cell is not None for row in body for cell in row[len(names) :]):
        raise UserError(f"{key}.path: {file}: rows have {width} cells, and {len(names)} columns have names")
    kept = [name for name in given if wanted is None or name in wanted] or [min(given)]
    columns: dict[str, pa.Array] = {
        name: from_values([_cell(row[n]) if n < len(row) else None for row in body])
        for n, name in enumerate(names)
        if name in kept
    }
    table = pa.table(columns)
    more = [sheet.title for sheet in sheets[1:]]
    notes = [f"{file}: the first of its {len(sheets)} sheets is read, {shown(sheets[0].title)}"] if more else []
    return Rows(str(file), table, names=given, notes=notes)


def _cell(value: Any) -> Any:
    """A cell's value; 3.0, which a sheet shows as 3, is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
