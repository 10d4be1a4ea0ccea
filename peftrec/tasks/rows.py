"""How the slots of a task are filled from rows that a user gives, in Python or as JSON lines.

query, text         a text
item or item_text   an id of the catalogue, or the text of an item that it does not have
user or history     for kinds with histories: a user of the run's log, or past events, oldest first (`[]`: new user)
time                seconds since 1970 or an ISO date: what is known then is what lies before it
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from peftrec.errors import UserError, shown

Row = dict[str, Any]


class Shelf(Protocol):
    """Where fields find text rows: the text table and the catalogue of a loaded run."""

    def add(self, text: str, pair: str | None = None, passage: bool = False) -> int:
        """The text row of a text or a pair of texts, new ones added."""

    def item_text(self, row: Row) -> str:
        """The text of the item that a row names by `item` or brings as `item_text`. Raises UserError."""


@dataclass(frozen=True)
class Field:
    """How one slot is filled.

    keys  those of a row that it reads
    read  (row, shelf) -> the text row. Raises UserError naming the key
    """

    keys: tuple[str, ...]
    read: Callable[[Row, Shelf], int]


@dataclass(frozen=True)
class Event:
    """A past event that a row brings along: its value in the event column's own unit, None without; its time in seconds
    since 1970, -inf without."""

    value: float | None
    time: float


def text_field(key: str) -> Field:
    """A slot that is filled by the text under `key`."""
    return Field((key,), lambda row, shelf: shelf.add(text_of(row, key)))


ITEM = Field(("item", "item_text"), lambda row, shelf: shelf.add(shelf.item_text(row), passage=True))


def pair_field(key: str) -> Field:
    """A slot that holds the text under `key` and the item's text as a pair."""
    return Field((key, *ITEM.keys), lambda row, shelf: shelf.add(text_of(row, key), shelf.item_text(row)))


def text_of(row: Row, key: str) -> str:
    """The text under a key. Raises UserError."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{key!r} must be a text that is not empty; found {shown(value)}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UserError(f"{key!r} must be valid Unicode, without halves of surrogate pairs; found {shown(value)}")
    return value


def example_row(fields: Mapping[str, Field], slots: list[str], item: str, history: bool, moment: bool) -> Row:
    """A row with what the slots need, of a new user where there are users; `item` is an id of the catalogue."""
    keys = [key for slot in slots for key in fields[slot].keys if key != "item_text"]
    row: Row = {key: item if key == "item" else "some words" for key in keys}
    return row | ({"history": []} if history else {}) | ({"time": "2026-01-01"} if moment else {})


def liked_or_not(events: list[Event], threshold: float | None) -> list[float]:
    """1 for an event that was liked, 0 for others; one without a value counts as liked."""
    least = 1 if threshold is None else threshold
    return [1.0 if event.value is None else float(event.value >= least) for event in events]


def standardised(events: list[Event], scale: tuple[float, float]) -> list[float]:
    """The events' values on the log's scale (centre, spread); one without a value counts as average."""
    centre, spread = scale
    return [0.0 if event.value is None else (event.value - centre) / spread for event in events]


def all_timed(events: list[Event]) -> bool:
    """Whether every event has a time."""
    return all(math.isfinite(event.time) for event in events)
