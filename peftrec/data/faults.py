"""Rows that break a rule: which they are, and one sentence that names how many, and the first of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peftrec.errors import shown

SHOWN = 5  # rows that are named


@dataclass(frozen=True)
class Fault:
    """A rule that some rows of a table break: `rows` int (N,), positions from 0, and what is said of them."""

    rows: np.ndarray
    message: str


def told(column: str, rule: str, first: Sequence[tuple[str, int, object]], count: int) -> str:
    """What is said of `count` rows that break a rule. `first`: the file, number (from 1) and value of the first few."""
    (file, number, value), *others = first
    line = f"{file}: row {number}, column {shown(column)}: {rule}; found {shown(value)}"
    if not others:
        return line
    named = ", ".join(f"{'' if of == file else f'{of}: '}row {row} ({shown(found)})" for of, row, found in others)
    more = f" and {count - len(first):,} more" if count > len(first) else ""
    return f"{line}; {count:,} rows break it: also {named}{more}"
