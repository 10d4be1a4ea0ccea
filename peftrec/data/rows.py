"""A file's rows as columns, turned into checked ids, numbers, times and texts; an error names file, row and column."""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data import columns
from peftrec.data.advice import missing_column
from peftrec.data.columns import plain_number
from peftrec.data.times import WANTED, doubt_future, doubt_numbers, doubt_unit, from_format, from_iso, from_unit
from peftrec.errors import Problems, UserError, shown
from peftrec.recipe import FileConfig, TimedConfig

__all__ = ["Rows", "parse_template", "plain_number", "template_columns"]

_NONE = pa.array(["", "na", "n/a", "nan", "null", "none"])
MOST = 1e18  # of a number in a table: labels are squared in 32 bits, which end at 3e38


@dataclass(frozen=True)
class Rows:
    """The rows of `file`. Row numbers in messages count data rows from 1, a header not included.

    config  how ids, numbers and times are to be read
    names   of all the file's columns, where `table` holds those that are read
    parts   of several files read as one, each file's name and number of rows, in order
    notes   what the user should know of how they were read; ids that had to be tidied add theirs
    """

    file: str
    table: pa.Table
    config: FileConfig = field(default_factory=lambda: FileConfig(path=""))
    names: list[str] = field(default_factory=list)
    parts: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.table.num_rows

    def place(self, row: int) -> tuple[str, int]:
        """The file that holds row `row` (from 0) and the row's number there (from 1)."""
        for name, rows in self.parts:
            if row < rows:
                return name, row + 1
            row -= rows
        return self.file, row + 1

    def fail(self, row: int, column: str, rule: str, value: object) -> NoReturn:
        """Raise UserError about the value in data row `row` (from 0)."""
        file, number = self.place(row)
        raise UserError(f"{file}: row {number}, column {shown(column)}: {rule}; found {shown(value)}")

    def column(self, name: str) -> pa.ChunkedArray:
        """The raw column."""
        if name not in self.table.column_names:
            raise UserError(f"{self.file}: {missing_column(name, self.names or self.table.column_names)}")
        return self.table[name]

    def strings(self, name: str) -> pa.Array:
        """Any scalar column as text: null is '', 1995.0 is '1995', the members of a list are joined by ', '."""
        return columns.decoded(self._texts(name))

    def _texts(self, name: str) -> pa.ChunkedArray:
        try:
            return columns.as_texts(self.column(name))
        except (TypeError, pa.ArrowInvalid) as error:  # objects; bytes that are no UTF-8
            raise UserError(f"{self.file}: column {name!r}: {error}") from None

    def ids(self, name: str) -> pa.DictionaryArray:
        """A column of ids as text, numbered in the order of their first appearance.

        They are tidied as `strip` says, with a note. Raises UserError where one is empty.
        """
        codes, texts = self._tidied(name)
        empty = pc.equal(pc.utf8_trim_whitespace(texts), "").to_numpy(zero_copy_only=False)
        if empty.any():
            row = int(np.argmax(empty[codes]))
            self.fail(row, name, "must not be empty", self.column(name)[row].as_py() or "")
        return pa.DictionaryArray.from_arrays(codes, texts)

    def labels(self, name: str) -> pa.Array:
        """A column of labels as texts, tidied as ids are; '' where there is none."""
        codes, texts = self._tidied(name)
        return texts.take(pa.array(codes))

    def _tidied(self, name: str) -> tuple[np.ndarray, pa.Array]:
        """Codes (N,) of a column's values and the distinct ones as texts, tidied; what that did is noted."""
        codes, texts = self._coded(name)
        tidied = _tidied(texts) if self.config.strip else texts
        if tidied is texts:
            return codes, texts
        fresh = tidied.dictionary_encode()
        self._note_tidied(name, codes, texts, fresh)
        return fresh.indices.to_numpy()[codes], fresh.dictionary

    def _coded(self, name: str) -> tuple[np.ndarray, pa.Array]:
        try:
            return columns.coded(self.column(name))
        except (TypeError, pa.ArrowInvalid) as error:
            raise UserError(f"{self.file}: column {name!r}: {error}") from None

    def _note_tidied(self, name: str, codes: np.ndarray, texts: pa.Array, fresh: pa.DictionaryArray) -> None:
        changed = pc.not_equal(texts, fresh.cast(texts.type)).to_numpy(zero_copy_only=False)
        values, example = int(changed[codes].sum()), texts[int(np.argmax(changed))].as_py()
        merged = f"; {len(texts):,} different values become {len(fresh.dictionary):,}"
        note = (
            f"{self.file}: column {shown(name)}: {values:,} of {len(codes):,} values, such as {shown(example)}, are "
            f"read as {shown(fresh[int(np.argmax(changed))].as_py())} is"
            f"{merged if len(fresh.dictionary) < len(texts) else ''} (strip: false reads them as they are)"
        )
        if note not in self.notes:
            self.notes.append(note)

    def unique_ids(self, name: str) -> pa.Array:
        """A column of ids as text, each once. Raises UserError naming both rows of a repetition."""
        ids = self.ids(name)
        codes = ids.indices.to_numpy()
        # First-appearance codes of unique ids are 0, 1, 2, ...: the first row that falls behind is a repetition.
        repeated = np.flatnonzero(codes < np.arange(len(codes)))
        if len(repeated):
            row = int(repeated[0])
            self._fail_repeated(name, row, int(np.flatnonzero(codes == codes[row])[0]))
        return ids.dictionary

    def _fail_repeated(self, name: str, row: int, first: int) -> NoReturn:
        written = self.strings(name)
        file, number = self.place(first)
        there = f"row {number}" if file == self.place(row)[0] else f"{file}: row {number}"
        alike = written[row].as_py() == written[first].as_py()
        but = "" if alike else f", written {shown(written[first].as_py())} (strip: false keeps them apart)"
        self.fail(row, name, f"must be unique, and {there} has it already{but}", written[row].as_py())

    def each_once(self, name: str, beside: Sequence[str]) -> "Rows":
        """The rows without those that repeat an earlier one's id and its values of `beside`, as lines of a log do.

        Raises UserError naming both rows where an id stands again with other values.
        """
        ids = self.ids(name).indices.to_numpy()
        first = np.unique(ids, return_index=True)[1]
        if len(first) == len(self):
            return self
        differ = np.zeros(len(self), bool)
        for column in beside:
            codes = self._coded(column)[0]
            differ |= codes != codes[first[ids]]
        if differ.any():
            self._fail_repeated(name, int(np.argmax(differ)), int(first[ids[np.argmax(differ)]]))
        return replace(self, table=self.table.take(first), parts=[])

    def lookup(self, name: str, known: pa.Array, meaning: str) -> np.ndarray:
        """Positions int32 of the column's ids among `known`. Raises UserError for an id that is not there."""
        ids = self.ids(name)
        known = columns.decoded(pa.chunked_array([known]))
        codes, found = ids.indices.to_numpy(), pc.index_in(ids.dictionary, value_set=known.cast(ids.dictionary.type))
        unknown = found.is_null().to_numpy(zero_copy_only=False)
        if unknown.any():
            row = int(np.argmax(unknown[codes]))
            self.fail(row, name, f"must be an id of {meaning}", ids[row].as_py())
        return found.to_numpy()[codes]

    def numbers(self, name: str, missing: bool = False) -> np.ndarray:
        """A numeric column as float64. `missing`: values may be (null, NaN, '', 'NA' and the like), and are NaN then.

        Raises UserError where a value is missing, not a number, NaN, infinite, or beyond `MOST`.
        """
        column = self.column(name)
        numbers = self._numbers(name)
        bad = np.flatnonzero(~np.isfinite(numbers) & ~(self._missing(name) if missing else False))
        if len(bad):
            value = column[int(bad[0])].as_py()
            comma = isinstance(value, str) and columns.is_number(value.replace(",", "."))
            hint = " (with a decimal comma? write decimal: ',')" if comma else ""
            self.fail(int(bad[0]), name, f"must be a finite number{hint}", value)
        large = np.flatnonzero(np.abs(numbers) > MOST)
        if len(large):
            rule = f"must be at most {MOST:g} in size, so that 32-bit numbers hold its square"
            self.fail(int(large[0]), name, rule, column[int(large[0])].as_py())
        return numbers

    def _numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where a value is no number."""
        column = self.column(name)
        kind = column.type
        if pa.types.is_boolean(kind):
            return column.cast(pa.int8()).cast(pa.float64()).to_numpy()
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return columns.shortest(column).to_numpy()
        return columns.text_numbers(self._texts(name), self.config.decimal)

    def _missing(self, name: str) -> np.ndarray:
        """Which values (N,) of a column say that there is none."""
        codes, texts = self._coded(name)
        return pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=_NONE.cast(texts.type)).to_numpy(
            False
        )[codes]

    def times(self, name: str) -> np.ndarray:
        """A column of times as float64 seconds since 1970: numbers, ISO 8601 texts (UTC by default), or timestamps.

        Raises UserError where a value is none of these, cannot be one (`peftrec.data.times`), or lies in the future.
        """
        column, kind = self.column(name), self.column(name).type
        unit = self.config.time_unit if isinstance(self.config, TimedConfig) else None
        pattern = self.config.time_format if isinstance(self.config, TimedConfig) else None
        numeric = np.zeros(len(column), bool)
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            if unit or pattern:
                key = "time_unit" if unit else "time_format"
                raise UserError(f"{self.file}: column {shown(name)}: {key} is for numbers and texts; found {kind}")
            times = self._stamps(name, column)
        elif pattern is not None:
            times = self._parsed(name, lambda text: from_format(text, pattern), f"must be a time such as {pattern}")
        elif columns.is_text(kind):
            times, numeric = self._text_times(name, unit)
        else:
            times, numeric = self.numbers(name), np.ones(len(column), bool)
        if numeric.any():
            judged = times[numeric] if not numeric.all() else times
            doubt = doubt_numbers(judged) if unit is None else doubt_unit(judged, unit)
            if doubt is not None:
                row = int(np.flatnonzero(numeric)[doubt.row])
                self.fail(row, name, str(doubt), column[row].as_py())
            times = np.where(numeric, from_unit(times, unit), times) if unit else times
        doubt = doubt_future(times)
        if doubt is not None:
            self.fail(doubt.row, name, doubt.rule, column[doubt.row].as_py())
        return times

    def _stamps(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if column.null_count:
            self.fail(int(np.argmax(column.is_null().to_numpy())), name, "must be a time", None)
        return column.cast(pa.int64()).to_numpy() / {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit]

    def _text_times(self, name: str, unit: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Times written as texts, and which of them are numbers."""
        times = columns.text_numbers(self._texts(name), self.config.decimal)
        numeric = np.isfinite(times)
        if numeric.all():
            return times, numeric
        if unit is not None:
            row = int(np.argmin(numeric))
            self.fail(row, name, f"must be a number, for time_unit: {unit}", self.column(name)[row].as_py())
        texts = pc.utf8_trim_whitespace(columns.decoded(self._texts(name)))
        try:  # at once, where all are of one form without a zone
            stamps = texts.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6
        except pa.ArrowInvalid:
            stamps = self._parsed(name, lambda text: 0.0 if columns.is_number(text) else from_iso(text), WANTED)
        return np.where(numeric, times, stamps), numeric

    def _parsed(self, name: str, parse: Callable[[str], float], rule: str) -> np.ndarray:
        codes, texts = self._coded(name)
        seconds = np.zeros(len(texts))
        for number, text in enumerate(texts.to_pylist()):
            try:
                seconds[number] = parse(text.strip())
            except ValueError:
                row = int(np.argmax(codes == number))
                self.fail(row, name, rule, self.column(name)[row].as_py())
        return seconds[codes]

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
        # Texts of more than 2 GiB, and those of pandas' files, have wider offsets; Arrow joins one kind only.
        kind = pa.large_string() if any(pa.types.is_large_string(of.type) for of in filled.values()) else pa.string()
        pieces: list[pa.Array | pa.Scalar] = []
        for literal, column in parts:
            pieces += [pa.scalar(literal, kind), *([] if column is None else [filled[column].cast(kind)])]
        return pc.binary_join_element_wise(*pieces, pa.scalar("", kind)).to_pylist()


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


def _tidied(texts: pa.Array) -> pa.Array:
    """Ids without spaces around them, and without '.0' where all are whole numbers; the same object where none has."""
    tidied = pc.utf8_trim_whitespace(texts)
    if pc.all(pc.match_substring_regex(tidied, r"^-?\d+(\.0)?$")).as_py():
        tidied = pc.replace_substring_regex(tidied, r"\.0$", "")
    return texts if tidied.equals(texts) else tidied
