"""What tables were understood as: of every column its use, what it holds, its range, missing and distinct values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.rows import Rows
from peftrec.data.templates import template_columns
from peftrec.data.where import parse
from peftrec.errors import UserError
from peftrec.recipe import TableConfig

COMMON = 3  # values that are named of a column of texts
LETTERS = 80  # of such a value


@dataclass(frozen=True)
class ColumnSummary:
    """One column.

    use       what it is taken for: id, user, item, time, text, label, number, feature, impression, clicked,
              moment, split, where, weight; '' for none
    holds     number, time or text; the type's own name for what is none of these
    missing   rows without a value
    distinct  different values; None where they cannot be compared
    least, most   the range of numbers, and of times as ISO texts; None for others
    common    the most frequent values of a text with their rows, the earlier first of those alike
    """

    name: str
    use: str
    holds: str
    missing: int = 0
    distinct: int | None = None
    least: float | str | None = None
    most: float | str | None = None
    common: Mapping[str, int] | None = None


@dataclass(frozen=True)
class TableSummary:
    """A table: its name, kind (items, users, events, queries, texts), file, number of rows, columns, those that are
    read first, and the names of further ones in the file, which are not held."""

    name: str
    kind: str
    file: str
    rows: int
    columns: list[ColumnSummary]
    others: list[str]


def summarise(name: str, kind: str, rows: Rows, uses: Mapping[str, str]) -> TableSummary:
    """The summary of a file's rows; `uses`: column -> its use."""
    others = [column for column in rows.table.column_names if column not in uses]
    columns = [_column(rows, column, uses.get(column, "")) for column in [*uses, *others]]
    held = set(rows.table.column_names)
    return TableSummary(name, kind, rows.file, len(rows), columns, [of for of in rows.names if of not in held])


def uses_of(config: TableConfig, key: str) -> dict[str, str]:
    """Column -> what a table's config takes it for. `key` is the table's in the recipe."""
    named = {getattr(config, use, None): use for use in ("id", "user", "item", "time")}
    template = getattr(config, "text", None)
    texts = [] if template is None else template_columns(template, f"{key}.text")
    split = getattr(config, "split", None)
    rest = {getattr(config, use, None): use for use in ("label", "impression", "clicked", "moment")}
    rest |= {None if split is None else split.column: "split"}
    numbers = dict.fromkeys(getattr(config, "columns", ()), "number")
    numbers |= dict.fromkeys(getattr(config, "features", ()), "feature")
    asked = [] if config.where is None else parse(config.where, f"{key}.where", "column").names
    found = {**dict.fromkeys(asked, "where"), **dict.fromkeys(texts, "text"), **numbers, **rest, **named}
    order = [*named, *texts, *numbers, *rest, *asked]
    return {column: found[column] for column in order if column is not None}


def iso(seconds: float) -> str:
    """A time as people write it: 2024-05-31T18:00:00, in UTC."""
    return str(np.datetime64(int(np.floor(seconds)), "s"))


def _column(rows: Rows, name: str, use: str) -> ColumnSummary:
    raw = rows.column(name)
    if use == "time" or pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
        try:
            there = replace(rows, table=rows.table.filter(pc.is_valid(raw)))
            return _range(name, use, "time", there.times(name), len(rows))
        except UserError:  # a time that nothing reads may lie in the future
            pass
    if use not in ("id", "user", "item", "impression", "moment"):  # ids are texts
        try:
            return _range(name, use, "number", rows.numbers(name, missing=True), len(rows))
        except UserError:
            pass
    try:
        texts = pc.utf8_trim_whitespace(rows.strings(name))
    except UserError:
        return ColumnSummary(name, use, str(raw.type), raw.null_count)
    texts = texts.filter(pc.not_equal(texts, ""))
    counted = pc.value_counts(texts)
    count = counted.field("counts").to_numpy()
    first = np.argsort(-count, kind="stable")[:COMMON]
    common = {_cut(counted.field("values")[row].as_py()): int(count[row]) for row in first.tolist()}
    return ColumnSummary(name, use, "text", len(rows) - len(texts), len(counted), common=common)


def _range(name: str, use: str, holds: str, values: np.ndarray, rows: int) -> ColumnSummary:
    """The summary of numbers, NaN where there is none. Raises UserError where there are none at all."""
    there = np.unique(values[~np.isnan(values)])
    if not len(there):
        raise UserError(f"{name}: empty")
    missing = rows - int((~np.isnan(values)).sum())
    least, most = (iso(end) if holds == "time" else float(end) for end in (there[0], there[-1]))
    return ColumnSummary(name, use, holds, missing, len(there), least, most)


def _cut(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
