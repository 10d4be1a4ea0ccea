"""Tables: the catalogue, events, queries and labelled texts of a run, checked on entry."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from peftrec.data.files import read_rows
from peftrec.data.rows import Rows, template_columns
from peftrec.data.sources import load_source
from peftrec.recipe import DataConfig, EventsConfig, ItemsConfig, QueriesConfig, TextsConfig, UserError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Items:
    """The catalogue; an item's number is its position.

    ids      unique
    texts    never empty
    columns  what the texts were made of: column name -> one text an item
    """

    ids: list[str]
    texts: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Events:
    """What users did, ordered by (user, time); equal times keep the order of the file.

    user      int32 (E,): user number, a position in `user_ids`
    item      int32 (E,): item number
    time      float64 (E,): seconds since 1970
    columns   name -> float64 (E,)
    user_ids  in user-number order
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    columns: dict[str, np.ndarray]
    user_ids: list[str]

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def user_start(self) -> np.ndarray:
        """int64 (users + 1,): user u's events are [user_start[u]:user_start[u + 1]]."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1))


@dataclass(frozen=True)
class Queries:
    """Queries with the item they refer to.

    text   one a row; rows with equal texts are one query
    item   int32 (Q,): item number
    label  float64 (Q,): grade, higher is better; None: every row is a match
    time   float64 (Q,): seconds since 1970; None: unknown
    """

    text: list[str]
    item: np.ndarray
    label: np.ndarray | None = None
    time: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Texts:
    """Single texts with a class name each, and optionally the split (train, valid or test) that the data come with."""

    text: list[str]
    label: list[str]
    split: list[str] | None = None

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Tables:
    """The tables of a run; a table that the data lack is None. `notes` is what the user should know about them."""

    items: Items | None = None
    events: Events | None = None
    queries: Queries | None = None
    texts: Texts | None = None
    notes: list[str] = field(default_factory=list)


def load_tables(data: DataConfig) -> Tables:
    """Read and check the tables of a recipe's `data`.

    Raises UserError naming file, row (data rows from 1), column, rule and value found.
    """
    if data.source is not None:
        tables = load_source(data.source, None if data.path is None else Path(data.path))
        if not isinstance(tables, Tables):
            raise UserError(f"data.source: {data.source} must return Tables, found {type(tables).__name__}")
        return tables
    items = events = queries = texts = None
    if data.items is not None:
        items = make_items(read_rows(data.items.path, "data.items.path"), data.items)
    if data.events is not None and items is not None:
        events = make_events(read_rows(data.events.path, "data.events.path"), data.events, items)
    if data.queries is not None and items is not None:
        queries = make_queries(read_rows(data.queries.path, "data.queries.path"), data.queries, items)
    if data.texts is not None:
        texts = make_texts(read_rows(data.texts.path, "data.texts.path"), data.texts)
    return Tables(items, events, queries, texts)


def make_items(rows: Rows, config: ItemsConfig) -> Items:
    """The catalogue from a file's rows; ids unique and texts not empty, else UserError."""
    ids = rows.unique_ids(config.id).to_pylist()
    texts = rows.texts(config.text, "data.items.text")
    names = template_columns(config.text, "data.items.text")
    return Items(ids, texts, {name: rows.strings(name).to_pylist() for name in names})


def make_events(rows: Rows, config: EventsConfig, items: Items) -> Events:
    """Events from a file's rows, sorted; users are numbered as they first appear. Raises UserError."""
    users = rows.ids(config.user).dictionary_encode()
    return sort_events(
        user=users.indices.to_numpy().astype(np.int32),
        item=rows.lookup(config.item, pa.array(items.ids, pa.string()), "data.items"),
        time=rows.times(config.time),
        columns={name: rows.numbers(name) for name in config.columns},
        user_ids=users.dictionary.to_pylist(),
    )


def sort_events(
    user: np.ndarray, item: np.ndarray, time: np.ndarray, columns: dict[str, np.ndarray], user_ids: list[str]
) -> Events:
    """Events in the order that `Events` promises."""
    order = np.lexsort((time, user))  # stable
    return Events(user[order], item[order], time[order], {n: c[order] for n, c in columns.items()}, user_ids)


def make_queries(rows: Rows, config: QueriesConfig, items: Items) -> Queries:
    """Queries from a file's rows. Raises UserError."""
    return Queries(
        text=rows.texts(config.text, "data.queries.text"),
        item=rows.lookup(config.item, pa.array(items.ids, pa.string()), "data.items"),
        label=None if config.label is None else rows.numbers(config.label),
        time=None if config.time is None else rows.times(config.time),
    )


def make_texts(rows: Rows, config: TextsConfig) -> Texts:
    """Labelled texts from a file's rows. Raises UserError."""
    split = None if config.split is None else rows.strings(config.split).to_pylist()
    for row, name in enumerate(split or []):
        if name not in SPLITS:
            rows.fail(row, config.split or "", f"a split is one of {', '.join(SPLITS)}", name)
    return Texts(text=rows.texts(config.text, "data.texts.text"), label=rows.ids(config.label).to_pylist(), split=split)
