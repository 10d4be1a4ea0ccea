"""Which rows of a file belong to a table: those that fulfil the condition of its key `where`."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.advice import commas, how_it_would_be
from peftrec.data.columns import blank, plain, seen
from peftrec.data.rows import EXACT, Rows
from peftrec.data.where import Condition
from peftrec.errors import Problems, UserError, cut, nearest, shown

_SHOWN = 5  # values that are named where none is asked for
_WHOLE = r"^-?\d+$"


def belonging(condition: Condition, rows: Rows) -> Rows:
    """The rows that fulfil a condition, with a note of how many they are; each is known by where it stood.

    Raises UserError for a column that the file has not, for values that are no numbers where these decide whether a row
    belongs, and where none does.
    """
    columns = _Columns(rows)
    yes, no = condition.of(columns)
    columns.refuse_wrong(~(yes | no))
    count, file = sum(of for _, of in rows.files), rows.file
    if not yes.any():
        raise UserError(
            f"{condition.key}: {shown(condition.given)} leaves none of the {count:,} rows of {file}{columns.found()}"
        )
    kept = rows.only(yes)
    note = f"{condition.key}: {len(kept):,} of {count:,} rows of {file} fulfil {shown(condition.given)}"
    return replace(kept, notes=[*rows.notes, note])


class _Columns:
    """A file's columns as those of a condition: numbers where it compares them with numbers, else texts, as ids are.

    A value that is there and no number is wrong, where it is compared with one.
    """

    most = EXACT  # the numbers of larger ones are not told apart

    def __init__(self, rows: Rows) -> None:
        self.rows, self.names = rows, rows.names or rows.table.column_names
        self._numbers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._texts: dict[str, tuple[np.ndarray, pa.Array]] = {}  # codes and distinct texts, as `Rows.tidied`

    def nearest(self, name: str) -> str:
        return f" of {self.rows.file}; {nearest(name, self.names)}{how_it_would_be(name, self.names)}"

    def numbers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """float64 (N,)."""
        if name not in self._numbers:
            numbers = self.rows.as_numbers(name)
            there = np.isfinite(numbers)
            wrong = ~there if there.all() else ~there & ~self.rows.missing(name)
            self._numbers[name] = np.where(there, numbers, np.nan), wrong
        return self._numbers[name]

    def among(self, name: str, values: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        given = [value for value in values if value is not None]
        if given and not any(isinstance(value, str) for value in given):
            numbers, wrong = self.numbers(name)
            found, missing = np.isin(numbers, np.array(given, np.float64)), np.isnan(numbers)
        else:
            if name not in self._texts:
                self._texts[name] = self.rows.tidied(name)
            codes, texts = self._texts[name]
            empty, wrong = blank(texts), np.zeros(len(self.rows), bool)
            found, missing = self._levels(texts, list(map(plain, given)))[codes], empty[codes]
        return found | missing if None in values else found, missing, wrong

    def _levels(self, texts: pa.Array, values: list[str]) -> np.ndarray:
        """Which of a column's distinct texts, tidied, are among the values, tidied alike."""
        among = pa.array(values, texts.type)
        if self.rows.config.strip:
            among = seen(among)
            if pc.all(pc.match_substring_regex(texts, _WHOLE)).as_py():
                among = pc.replace_substring_regex(among, r"^(-?\d+)\.0$", r"\1")
        return pc.is_in(texts, value_set=among).to_numpy(zero_copy_only=False)

    def refuse_wrong(self, rows: np.ndarray) -> None:
        """Raise UserError where there are any such rows, bool (N,), naming the values that are no numbers."""
        problems = Problems()
        for name, (_, wrong) in self._numbers.items():
            if (of := rows & wrong).any():
                first = self.rows.column(name)[int(np.argmax(of))].as_py()
                hint = commas(first) if isinstance(first, str) else ""
                with problems.collect():
                    self.rows.refuse(of, name, f"must be a number, as `where` compares it with one{hint}")
        problems.stop()

    def found(self) -> str:
        """What the columns hold that were compared with texts, for a message."""
        said = []
        for name, (_, texts) in self._texts.items():
            more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
            said.append(f"; {name} holds {cut(', '.join(map(repr, texts[:_SHOWN].to_pylist())))}{more}")
        return "".join(said)
