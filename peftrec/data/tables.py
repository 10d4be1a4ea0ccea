"""Tables: the catalogue, events, queries and labelled texts of a run, checked on entry."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from peftrec.data.remarks import empty_fields, first_alike, repeated_rows
from peftrec.data.rows import Rows, plain_number, template_columns
from peftrec.errors import Problems, UserError
from peftrec.recipe import EventsConfig, ItemsConfig, QueriesConfig, TextsConfig

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Items:
    """The catalogue; an item's number is its position.

    ids      unique
    texts    never empty
    columns  what the texts were made of: column name -> one text an item
    notes    what the user should know of them
    """

    ids: list[str]
    texts: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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
    notes     what the user should know of them
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    columns: dict[str, np.ndarray]
    user_ids: list[str]
    notes: list[str] = field(default_factory=list)

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
    notes  what the user should know of them
    """

    text: list[str]
    item: np.ndarray
    label: np.ndarray | None = None
    time: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Texts:
    """Single texts with a class name each, and optionally the split (train, valid or test) that the data come with.

    notes  what the user should know of them
    """

    text: list[str]
    label: list[str]
    split: list[str] | None = None
    notes: list[str] = field(default_factory=list)

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


def make_items(rows: Rows, config: ItemsConfig) -> Items:
    """The catalogue from a file's rows; ids unique and texts not empty, else UserErrors."""
    problems = Problems()
    with problems.collect():
        ids = rows.unique_ids(config.id).to_pylist()
    with problems.collect():
        texts = rows.texts(config.text, "data.items.text")
    problems.stop()
    names = template_columns(config.text, "data.items.text")
    columns = {name: rows.strings(name).to_pylist() for name in names}
    return Items(ids, texts, columns, empty_fields(rows, config.text, "data.items.text"))


def make_events(rows: Rows, config: EventsConfig, items: Items | None) -> Events:
    """Events from a file's rows, sorted; users are numbered as they first appear. Raises UserErrors.

    Without `items`, because they were wrong, only this table's own mistakes are looked for.
    """
    problems, columns = Problems(), {}
    with problems.collect():
        users = rows.ids(config.user).dictionary_encode()
    with problems.collect():
        item = _items_of(rows, config.item, items)
    with problems.collect():
        if config.time is None:
            raise UserError("data.events.time: name the column of the time")
        time = rows.times(config.time)
    for name in config.columns:
        with problems.collect():
            columns[name] = rows.numbers(name)
    problems.stop()
    user = users.indices.to_numpy().astype(np.int32)
    names = [config.user, config.item, config.time or "", *config.columns]
    notes = repeated_rows("data.events", first_alike(user, item, time, *columns.values()), names)
    return replace(sort_events(user, item, time, columns, users.dictionary.to_pylist()), notes=notes)


def _items_of(rows: Rows, column: str, items: Items | None) -> np.ndarray:
    """Item numbers int32 of a column of item ids; where the items were wrong, only that the ids are there."""
    known = rows.ids(column) if items is None else pa.array(items.ids, pa.string())
    return rows.lookup(column, known, "data.items")


def sort_events(
    user: np.ndarray, item: np.ndarray, time: np.ndarray, columns: dict[str, np.ndarray], user_ids: list[str]
) -> Events:
    """Events in the order that `Events` promises."""
    order = np.lexsort((time, user))  # stable
    return Events(user[order], item[order], time[order], {n: c[order] for n, c in columns.items()}, user_ids)


def make_queries(rows: Rows, config: QueriesConfig, items: Items | None) -> Queries:
    """Queries from a file's rows. Raises UserErrors; without `items` as `make_events`.

    A query and an item, at one time where times are known, have one grade.
    """
    problems = Problems()
    with problems.collect():
        text = rows.texts(config.text, "data.queries.text")
    with problems.collect():
        item = _items_of(rows, config.item, items)
    with problems.collect():
        label = None if config.label is None else rows.numbers(config.label)
    with problems.collect():
        time = None if config.time is None else rows.times(config.time)
    problems.stop()
    notes = empty_fields(rows, config.text, "data.queries.text")
    if label is not None:
        query = pa.array(text).dictionary_encode().indices.to_numpy()
        asked = {"query": query, "item": item, **({} if time is None else {"time": time})}
        first = first_alike(*asked.values())
        others = np.flatnonzero(label != label[first])
        if len(others):
            row = int(others[0])
            grade, found = plain_number(label[first[row]]), plain_number(label[row])
            rule = f"row {first[row] + 1} has the same {', '.join(asked)} with grade {grade}; keep one of the two"
            rows.fail(row, config.label or "", rule, found)
        notes += repeated_rows("data.queries", first, [*asked, "grade"])
    return Queries(text, item, label, time, notes)


def make_texts(rows: Rows, config: TextsConfig) -> Texts:
    """Labelled texts from a file's rows. Raises UserErrors."""
    problems = Problems()
    with problems.collect():
        column = None if config.split is None else config.split.column
        split = None if column is None else rows.strings(column).to_pylist()
        for row, name in enumerate(split or []):
            if name not in SPLITS:
                rows.fail(row, column or "", f"a split is one of {', '.join(SPLITS)}", name)
    with problems.collect():
        text = rows.texts(config.text, "data.texts.text")
    with problems.collect():
        if config.label is None:
            raise UserError("data.texts.label: name the column of the class")
        label = rows.ids(config.label).to_pylist()
    problems.stop()
    return Texts(text, label, split, empty_fields(rows, config.text, "data.texts.text"))
