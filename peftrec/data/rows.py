"""A file's rows as columns, turned into checked ids, numbers, times and texts; an error names file, row and column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn
from unicodedata import is_normalized

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data import columns
from peftrec.data.advice import alike, commas, missing_column
from peftrec.data.faults import SHOWN, Fault, told
from peftrec.data.times import (
    Doubt,
    doubt_future,
    doubt_numbers,
    doubt_unit,
    from_format,
    from_iso,
    from_unit,
    parsed,
    wanted_of,
)
from peftrec.errors import Problems, UserError, shown
from peftrec.recipe import FileConfig, TimedConfig

_NONE = pa.array(["", "na", "n/a", "nan", "null", "none"])
EXACT = 2**53  # whole numbers below are all told apart by 64-bit floating ones
_SHORTENED = r"^\s*\d[.,]\d+E\+\d{2}\s*$"  # as spreadsheets show long numbers, and save what they show
FEW = 0.01  # of a table's rows; where more are wrong, it is rather the recipe that is
MOST = 1e18  # of a number in a table: labels are squared in 32 bits, which end at 3e38


@dataclass(frozen=True)
class Rows:
    """The rows of `file`. Row numbers in messages count data rows from 1, a header not included.

    config  how ids, numbers and times are to be read
    names   of all the file's columns, where `table` holds those that are read
    parts   of several files read as one, each file's name and number of rows, in order
    notes   what the user should know of how they were read; ids that had to be tidied add theirs
    origin  int (N,): where each stood in the files, from 0, where others were left out; None: all are there
    faults  what was refused so far of single rows
    """

    file: str
    table: pa.Table
    config: FileConfig = field(default_factory=lambda: FileConfig(path=""))
    names: list[str] = field(default_factory=list)
    parts: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origin: np.ndarray | None = None
    faults: list[Fault] = field(default_factory=list)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def files(self) -> list[tuple[str, int]]:
        """Each file's name and the number of rows it has, in order."""
        return self.parts or [(self.file, len(self))]

    @property
    def origins(self) -> np.ndarray:
        """int (N,): where each row stood in the files, from 0."""
        return np.arange(len(self)) if self.origin is None else self.origin

    def only(self, kept: np.ndarray) -> "Rows":
        """The rows that are `kept`, bool (N,), each known by where it stood."""
        table = self.table.filter(pa.array(kept))
        return replace(self, table=table, parts=self.files, origin=self.origins[kept])

    def place(self, row: int) -> tuple[str, int]:
        """The file that holds row `row` (from 0) and the row's number there (from 1)."""
        row = row if self.origin is None else int(self.origin[row])
        for name, rows in self.parts:
            if row < rows:
                return name, row + 1
            row -= rows
        return self.file, row + 1

    def fail(self, row: int, column: str, rule: str, value: object) -> NoReturn:
        """Raise UserError about a column as a whole, which the value in data row `row` (from 0) shows."""
        raise UserError(told(column, rule, [(*self.place(row), value)], 1))

    def refuse(
        self, wrong: np.ndarray, column: str, rule: str, values: Callable[[int], object] | None = None
    ) -> NoReturn:
        """Raise UserError about the rows that are `wrong`, bool (N,): their count, and the first of them.

        values  what was found in a row; default: what the column holds
        """
        policy, of_recipe = self.config.on_bad_rows, type(self.config) is not FileConfig
        if policy == "fill":
            rule = f"{rule} (fill cannot mend it; skip leaves such rows out)"
        elif policy == "refuse" and of_recipe and wrong.sum() <= FEW * len(wrong):
            rule = f"{rule} (on_bad_rows: skip leaves such rows out)"
        self.faults.append(self._fault(wrong, column, rule, values))
        raise UserError(self.faults[-1].message)

    def mended(
        self, said: str, wrong: np.ndarray, column: str, rule: str, values: Callable[[int], object] | None = None
    ) -> None:
        """Note what was done, as `said`, about the rows that are `wrong`, with the first of them; else as `refuse`."""
        fault = self._fault(wrong, column, rule, values)
        self._note(f"{said} (on_bad_rows: {self.config.on_bad_rows}): {fault.message}")

    def _fault(self, wrong: np.ndarray, column: str, rule: str, values: Callable[[int], object] | None = None) -> Fault:
        rows, found = np.flatnonzero(wrong), values or (lambda row: self.column(column)[row].as_py())
        first = [(*self.place(row), found(row)) for row in rows[:SHOWN].tolist()]
        return Fault(rows, told(column, rule, first, len(rows)))

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
        codes, texts = self.tidied(name)
        self._refuse_lost(name)
        empty = columns.blank(texts)
        if empty.any():
            self.refuse(empty[codes], name, "must not be empty", lambda row: self.column(name)[row].as_py() or "")
        return pa.DictionaryArray.from_arrays(codes, texts)

    def _refuse_lost(self, name: str) -> None:
        """Raise UserError where ids are floating numbers so large that different ones became the same."""
        if pa.types.is_floating(self.column(name).type) and (large := np.abs(self.as_numbers(name)) >= EXACT).any():
            rule = f"an id beyond {EXACT:,} has lost digits as a floating number; store whole numbers or texts"
            self.refuse(large, name, rule)

    def labels(self, name: str) -> pa.Array:
        """A column of labels as texts, tidied as ids are; '' where there is none."""
        codes, texts = self.tidied(name)
        return texts.take(pa.array(codes))

    def tidied(self, name: str) -> tuple[np.ndarray, pa.Array]:
        """Codes (N,) of a column's values and the distinct ones as texts, tidied as `strip` says, with a note."""
        codes, texts = self._coded(name)
        self._note_shortened(name, texts)
        tidied = columns.tidied(texts) if self.config.strip else texts
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
        written = shown(example) if is_normalized("NFC", example) else ascii(example)  # else both would look the same
        note = (
            f"{self.file}: column {shown(name)}: {values:,} of {len(codes):,} values, such as {written}, are "
            f"read as {shown(fresh[int(np.argmax(changed))].as_py())} is"
            f"{merged if len(fresh.dictionary) < len(texts) else ''} (strip: false reads them as they are)"
        )
        self._note(note)

    def _note_shortened(self, name: str, texts: pa.Array) -> None:
        if short := texts.filter(pc.match_substring_regex(texts, _SHORTENED)).to_pylist():
            such = f"{len(short):,} different values, such as {shown(short[0])}"
            said = "are numbers as spreadsheets shorten them: what differed may have become one; export them as texts"
            self._note(f"{self.file}: column {shown(name)}: {such}, {said}")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def unique_ids(self, name: str) -> pa.Array:
        """A column of ids as text, each once. Raises UserError naming both rows of a repetition."""
        ids = self.ids(name)
        codes = ids.indices.to_numpy()
        first = np.unique(codes, return_index=True)[1][codes]
        if (repeated := first != np.arange(len(codes))).any():
            self._refuse_repeated(name, repeated, first)
        return ids.dictionary

    def _refuse_repeated(self, name: str, repeated: np.ndarray, firsts: np.ndarray) -> NoReturn:
        """`firsts` int (N,): the first row with each row's id."""
        written, row = self.strings(name), int(np.argmax(repeated))
        first = int(firsts[row])
        file, number = self.place(first)
        there = f"row {number}" if file == self.place(row)[0] else f"{file}: row {number}"
        alike = written[row].as_py() == written[first].as_py()
        but = "" if alike else f", written {shown(written[first].as_py())} (strip: false keeps them apart)"
        rule = f"must be unique, and {there} has it already{but}"
        self.refuse(repeated, name, rule, lambda row: written[row].as_py())

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
            self._refuse_repeated(name, differ, first[ids])
        return self.only(first[ids] == np.arange(len(self)))

    def lookup(self, name: str, known: pa.Array, meaning: str) -> np.ndarray:
        """Positions int32 of the column's ids among `known`. Raises UserError for an id that is not there."""
        ids = self.ids(name)
        known = columns.decoded(pa.chunked_array([known]))
        codes, found = ids.indices.to_numpy(), pc.index_in(ids.dictionary, value_set=known.cast(ids.dictionary.type))
        unknown = found.is_null().to_numpy(zero_copy_only=False)
        if unknown.any():
            hint = alike(ids.dictionary[int(np.argmax(unknown))].as_py(), known)
            self.refuse(unknown[codes], name, f"must be an id of {meaning}{hint}", lambda row: ids[row].as_py())
        return found.to_numpy()[codes]

    def numbers(self, name: str, missing: bool = False) -> np.ndarray:
        """A numeric column as float64. `missing`: values may be (null, NaN, '', 'NA' and the like), and are NaN then.

        Raises UserError where a value is missing, not a number, NaN, infinite, or beyond `MOST`.
        """
        column, numbers, problems = self.column(name), self.as_numbers(name), Problems()
        bad = ~np.isfinite(numbers) & ~(self.missing(name) if missing else False)
        large = ~bad & (np.abs(numbers) > MOST)
        first = column[int(np.argmax(bad))].as_py() if bad.any() else None
        hint = commas(first) if isinstance(first, str) else ""
        most = f"must be at most {MOST:g} in size, so that 32-bit numbers hold its square"
        for wrong, rule in ((bad, f"must be a finite number{hint}"), (large, most)):
            if wrong.any() and missing and self.config.on_bad_rows != "refuse":
                self.mended(f"{int(wrong.sum()):,} values count as missing", wrong, name, rule)
            elif wrong.any():
                with problems.collect():
                    self.refuse(wrong, name, rule)
        problems.stop()
        return np.where(bad | large, np.nan, numbers) if missing else numbers

    def as_numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where a value is no number."""
        column = self.column(name)
        kind = column.type
        if pa.types.is_boolean(kind):
            return column.cast(pa.int8()).cast(pa.float64()).to_numpy()
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return columns.shortest(column).to_numpy()
        return columns.text_numbers(self._texts(name), self.config.decimal)

    def missing(self, name: str) -> np.ndarray:
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
            times = self._parsed(
                name, partial(from_format, pattern=pattern), lambda *_: f"must be a time such as {pattern}"
            )
        elif columns.is_text(kind):
            times, numeric = self._text_times(name, unit)
        else:
            times, numeric = self.numbers(name), np.ones(len(column), bool)
        if numeric.any():
            judged = times[numeric] if not numeric.all() else times
            doubt = doubt_numbers(judged) if unit is None else doubt_unit(judged, unit)
            self._heed(doubt, name, np.flatnonzero(numeric))
            times = np.where(numeric, from_unit(times, unit), times) if unit else times
        self._heed(doubt_future(times, units=False), name, np.arange(len(times)))
        return times

    def _heed(self, doubt: Doubt | None, name: str, rows: np.ndarray) -> None:
        """Raise UserError where there is a doubt about the times in `rows` (N,) of a column."""
        if doubt is None:
            return
        if doubt.wrong is None:
            self.fail(int(rows[doubt.row]), name, str(doubt), self.column(name)[int(rows[doubt.row])].as_py())
        self.refuse(np.isin(np.arange(len(self)), rows[doubt.wrong]), name, str(doubt))

    def _stamps(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if column.null_count:
            self.refuse(column.is_null().to_numpy(), name, "must be a time")
        return column.cast(pa.int64()).to_numpy() / {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit]

    def _text_times(self, name: str, unit: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Times written as texts, and which of them are numbers."""
        times = columns.text_numbers(self._texts(name), self.config.decimal)
        numeric = np.isfinite(times)
        if numeric.all():
            return times, numeric
        if unit is not None:
            self.refuse(~numeric, name, f"must be a number, for time_unit: {unit}")
        texts = pc.utf8_trim_whitespace(columns.decoded(self._texts(name)))
        try:  # at once, where all are of one form without a zone
            stamps = texts.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6
        except pa.ArrowInvalid:
            stamps = self._parsed(name, lambda text: 0.0 if columns.is_number(text) else from_iso(text), wanted_of)
        return np.where(numeric, times, stamps), numeric

    def _parsed(self, name: str, parse: Callable[[str], float], rule: Callable[..., str]) -> np.ndarray:
        """Seconds of times written as texts; `rule` (unread, read) says what those must be that cannot be read."""
        codes, texts = self._coded(name)
        seconds = parsed(texts.to_pylist(), parse)
        if (wrong := np.isnan(seconds)).any():
            read, unread = (texts.filter(pa.array(of)).to_pylist() for of in (~wrong, wrong))
            self.refuse(wrong[codes], name, rule(unread, read))
        return seconds[codes]
