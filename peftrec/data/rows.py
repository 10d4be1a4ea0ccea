"""A file's rows as columns, turned into checked ids, numbers, times and texts; an error names file, row and column."""

import string
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.errors import Problems, UserError, shown

MOST = 1e18  # of a number in a table: labels are squared in 32 bits, which end at 3e38
_NUMERIC = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


@dataclass(frozen=True)
class Rows:
    """The rows of `file`. Row numbers in messages count data rows from 1, a header not included.

    places  int (N,): which rows of the file these are, from 0; None: all
    """

    file: str
    table: pa.Table
    places: np.ndarray | None = None

    def __len__(self) -> int:
        return self.table.num_rows

    def fail(self, row: int, column: str, rule: str, value: object) -> NoReturn:
        """Raise UserError about the value in data row `row` (from 0)."""
        row = row if self.places is None else int(self.places[row])
        raise UserError(f"{self.file}: row {row + 1}, column {shown(column)}: {rule}; found {shown(value)}")

    def column(self, name: str) -> pa.Array:
        """The raw column."""
        names = self.table.column_names
        if name not in names:
            raise UserError(f"{self.file}: no column {shown(name)}; its columns are {', '.join(names)}")
        return self.table[name].combine_chunks()

    def strings(self, name: str) -> pa.Array:
        """Any scalar column as text: null is '', 1995.0 is '1995', the members of a list are joined by ', '."""
        column = self.column(name)
        kind = column.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            column = pa.array([", ".join(map(str, members or [])) for members in column.to_pylist()], pa.string())
        elif pa.types.is_floating(kind):
            column = pa.array(
                [None if v is None or v != v else plain_number(v) for v in column.to_pylist()], pa.string()
            )
        elif pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        elif pa.types.is_nested(kind):
            raise UserError(f"{self.file}: column {name!r}: needs plain values; found {kind}")
        text = pc.fill_null(column.cast(pa.string()), "")
        if pa.types.is_timestamp(kind):  # jsonl readers turn the text '1995-01-31' into one
            text = pc.replace_substring_regex(text, r" 00:00:00(\.0+)?$", "")
        return text

    def ids(self, name: str) -> pa.Array:
        """A column of ids as text. Raises UserError where one is empty."""
        ids = self.strings(name)
        empty = _first(pc.equal(pc.utf8_trim_whitespace(ids), ""))
        if empty is not None:
            self.fail(empty, name, "must not be empty", ids[empty].as_py())
        return ids

    def unique_ids(self, name: str) -> pa.Array:
        """A column of ids as text, each once. Raises UserError naming both rows of a repetition."""
        ids = self.ids(name)
        codes = ids.dictionary_encode().indices.to_numpy()
        # First-appearance codes of unique ids are 0, 1, 2, ...: the first row that falls behind is a repetition.
        repeated = np.flatnonzero(codes < np.arange(len(codes)))
        if len(repeated):
            row = int(repeated[0])
            first = int(np.flatnonzero(codes == codes[row])[0])
            self.fail(row, name, f"must be unique, and row {first + 1} has it already", ids[row].as_py())
        return ids

    def lookup(self, name: str, known: pa.Array, meaning: str) -> np.ndarray:
        """Positions int32 of the column's ids among `known`. Raises UserError for an id that is not there."""
        ids = self.ids(name)
        found = pc.index_in(ids, value_set=known)
        unknown = _first(pc.is_null(found))
        if unknown is not None:
            self.fail(unknown, name, f"must be an id of {meaning}", ids[unknown].as_py())
        return found.to_numpy().astype(np.int32)

    def numbers(self, name: str, missing: bool = False) -> np.ndarray:
        """A numeric column as float64. `missing`: values may be, and are NaN then.

        Raises UserError where a value is missing, not a number, NaN, infinite, or beyond `MOST`.
        """
        if missing:
            there = np.flatnonzero(pc.not_equal(pc.utf8_trim_whitespace(self.strings(name)), "").to_numpy(False))
            numbers = np.full(len(self), np.nan)
            numbers[there] = Rows(self.file, self.table.take(there), there).numbers(name)
            return numbers
        column = self.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
        ):
            text = pc.utf8_trim_whitespace(self.strings(name))
            wrong = _first(pc.invert(pc.match_substring_regex(text, _NUMERIC)))
            if wrong is not None:
                self.fail(wrong, name, "must be a finite number", column[wrong].as_py())
            column = text
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            self.fail(int(bad[0]), name, "must be a finite number", column[int(bad[0])].as_py())
        large = np.flatnonzero(np.abs(numbers) > MOST)
        if len(large):
            rule = f"must be at most {MOST:g} in size, so that 32-bit numbers hold its square"
            self.fail(int(large[0]), name, rule, column[int(large[0])].as_py())
        return numbers

    def times(self, name: str) -> np.ndarray:
        """A column of times as float64 seconds since 1970: numbers, ISO 8601 texts (UTC by default), or timestamps.

        Raises UserError where a value is none of these, or later than a day from now (the day allows for time zones).
        """
        column = self.column(name)
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us"), safe=False)
            missing = _first(pc.is_null(column))
            if missing is not None:
                self.fail(missing, name, "must be a time", None)
            times = column.cast(pa.int64()).to_numpy() / 1e6
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            times = self._parsed_times(name)
        else:
            times = self.numbers(name)
        late = np.flatnonzero(times > time.time() + 86_400)
        if len(late):
            row = int(late[0])
            hint = " (in milliseconds? give seconds)" if 1e11 < times[row] < 1e14 else ""
            self.fail(row, name, f"a time must not lie in the future{hint}", column[row].as_py())
        return times

    def _parsed_times(self, name: str) -> np.ndarray:
        text = pc.utf8_trim_whitespace(self.strings(name))
        numeric = pc.match_substring_regex(text, _NUMERIC)
        times = pc.if_else(numeric, text, "0").cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        for row in np.flatnonzero(~numeric.to_numpy(zero_copy_only=False)).tolist():
            value = text[row].as_py()
            try:
                times[row] = from_iso(value)
            except ValueError:
                self.fail(row, name, "must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00", value)
        return times

    def texts(self, template: str, key: str) -> list[str]:
        """`template` filled in for every row. `key` is the recipe key that holds the template.

        Raises UserError where all columns that the template names are empty.
        """
        parts = parse_template(template, key)
        columns = [column for _, column in parts if column is not None]
        problems, filled = Problems(), {}
        for name in columns:
            with problems.collect():
                filled[name] = self.strings(name)
        problems.stop()
        blank = np.logical_and.reduce(
            [pc.equal(pc.utf8_trim_whitespace(values), "").to_numpy(zero_copy_only=False) for values in filled.values()]
        )
        if blank.any():
            self.fail(int(np.argmax(blank)), ", ".join(filled), "the text must not be empty", "")
        pieces: list[pa.Array | str] = []
        for literal, column in parts:
            pieces += [literal] if column is None else [literal, filled[column]]
        return pc.binary_join_element_wise(*pieces, "").to_pylist()


def parse_template(template: str, key: str) -> list[tuple[str, str | None]]:
    """(literal, column) parts of a template such as '{title} ({year})'. Raises UserError naming the recipe key."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"{key}: not a template: {error}; found {shown(template)}") from None
    parts = []
    for literal, column, spec, conversion in parsed:
        if column == "" or spec or conversion:
            raise UserError(f"{key}: a template holds plain column names such as '{{title}}'; found {shown(template)}")
        parts.append((literal, column))
    if all(column is None for _, column in parts):
        raise UserError(f"{key}: a template names at least one column, such as '{{title}}'; found {shown(template)}")
    return parts


def template_columns(template: str, key: str) -> list[str]:
    """The columns that a template names."""
    return [column for _, column in parse_template(template, key) if column is not None]


def plain_number(value: float) -> str:
    """A number as people write it: 1995.0 is '1995'."""
    return repr(float(value)).removesuffix(".0")


def from_iso(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 date or time, without a zone in UTC. Raises ValueError for another text."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _first(flags: pa.Array) -> int | None:
    """Position of the first true value."""
    found = pc.index(flags, True).as_py()
    return None if found < 0 else int(found)
