"""Tables: the catalogues, users, events, queries and labelled texts of a run, any number of each under names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from peftrec.data.features import NO_FEATURES, FeatureTable
from peftrec.data.rows import Rows
from peftrec.data.summary import TableSummary

# The user's own files that a table was read from, each with its number of rows, in order; none: a source made it.
Files = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Items:
    """A catalogue; an item's number is its position.

    ids      unique
    texts    never empty
    columns  what the texts were made of: column name -> one text an item
    notes    what the user should know of them
    features  of every item, by its number
    filled    whether those without a text of their own have their id for it: it is all that is known of them, keeps
              them apart wherever texts do, and is less like other texts than any one word for nothing
    """

    ids: list[str]
    texts: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    features: FeatureTable = NO_FEATURES
    filled: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def with_unknown(self, ids: list[str]) -> "Items":
        """With these ids, which it lacks, behind its own: of them nothing else is known."""
        nothing = [""] * len(ids)
        place = np.append(np.arange(len(self)), np.full(len(ids), -1))
        return replace(
            self,
            ids=self.ids + ids,
            texts=self.texts + ids,
            columns={name: values + nothing for name, values in self.columns.items()},
            features=self.features.take(place),
            filled=True,
        )


@dataclass(frozen=True)
class Users(Items):
    """Users that are known by more than their events; with texts they are a catalogue, so that people are recommended.

    texts  one a user, or none at all
    """


@dataclass(frozen=True)
class Events:
    """What users did, ordered by (user, time); equal times keep the order of the file.

    user      int32 (E,): user number, a position in `user_ids`
    item      int32 (E,): item number
    time      float64 (E,): seconds since 1970; None: no order is known
    columns   name -> float64 (E,)
    user_ids  in user-number order
    notes     what the user should know of them
    catalogue   name of the table that the items are of
    given     the split that each row comes with, as `split.PARTS` names it
    features  of every event
    clicked     the column, among `columns`, that is 1 where what was shown was clicked, else 0; None: all was
    impression  int64 (E,): number of the list that a row was shown in, one user's at one time; -1 where in none: such a
                row is known of the past only. None: nothing is known of lists
    unclicked_in_history  whether histories hold what was shown and not clicked too
    row         int32 (E,): where each stood in what it was read from, from 0; None: unknown
    files       see `Files`
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    columns: dict[str, np.ndarray]
    user_ids: list[str]
    notes: list[str] = field(default_factory=list)
    catalogue: str = "items"
    given: list[str] | None = None
    features: FeatureTable = NO_FEATURES
    clicked: str | None = None
    impression: np.ndarray | None = None
    unclicked_in_history: bool = False
    row: np.ndarray | None = None
    files: Files = ()

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Which events were clicked, bool (E,): all where nothing says so."""
        return np.ones(len(self), bool) if self.clicked is None else self.columns[self.clicked] == 1

    @property
    def hides(self) -> bool:
        """Whether histories are without what was shown and not clicked."""
        return self.clicked is not None and not self.unclicked_in_history

    @cached_property
    def clicks(self) -> "Events":
        """The events that were clicked, as events of which nothing else is known."""
        if self.clicked is None and self.impression is None:
            return self
        return replace(self.take(np.flatnonzero(self.chosen)), clicked=None, impression=None)

    @property
    def remembered(self) -> "Events":
        """The events that histories are of."""
        return self.clicks if self.hides else self

    @cached_property
    def received(self) -> "Events":
        """The events that say how items were received: where lists are known, those that stand in one."""
        if self.impression is None or self.impression.min(initial=0) >= 0:
            return self
        return self.take(np.flatnonzero(self.impression >= 0))

    @cached_property
    def user_start(self) -> np.ndarray:
        """int64 (users + 1,): user u's events are [user_start[u]:user_start[u + 1]]."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1))

    @cached_property
    def moment(self) -> np.ndarray:
        """int32 (E,): the first event of the same user and time; what is before it was strictly before."""
        assert self.time is not None
        place = np.arange(len(self), dtype=np.int32)
        place[1:][(self.time[1:] == self.time[:-1]) & (self.user[1:] == self.user[:-1])] = 0
        found: np.ndarray = np.maximum.accumulate(place)
        return found

    def take(self, order: np.ndarray) -> "Events":
        """The events at `order` (E,)."""
        return replace(
            self,
            user=self.user[order],
            item=self.item[order],
            time=None if self.time is None else self.time[order],
            columns={name: column[order] for name, column in self.columns.items()},
            given=None if self.given is None else [self.given[row] for row in order],
            features=self.features.take(order),
            impression=None if self.impression is None else self.impression[order],
            row=None if self.row is None else self.row[order],
        )

    def ordered(self) -> "Events":
        """The events in the order that is promised above."""
        keys = (self.user,) if self.time is None else (self.time, self.user)
        return self.take(np.lexsort(keys))  # stable


@dataclass(frozen=True)
class Queries:
    """Queries with the item they refer to.

    text   one a row; rows with equal texts are one query
    item   int32 (Q,): item number
    label  float64 (Q,): grade, higher is better; None: every row is a match
    time   float64 (Q,): seconds since 1970; None: unknown
    notes  what the user should know of them
    catalogue  name of the table that the items are of
    given      the split that each row comes with, as `split.PARTS` names it
    rows       what stands beside the queries in their file; None without one
    user       int32 (Q,): number of the user who asked, a position in `user_ids`; None: unknown
    user_ids   in user-number order
    files      see `Files`
    """

    text: list[str]
    item: np.ndarray
    label: np.ndarray | None = None
    time: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    catalogue: str = "items"
    given: list[str] | None = None
    rows: Rows | None = None
    user: np.ndarray | None = None
    user_ids: list[str] = field(default_factory=list)
    files: Files = ()

    def __len__(self) -> int:
        return len(self.text)

    @property
    def places(self) -> np.ndarray:
        """int (Q,): where each row stood in what it was read from, from 0."""
        return np.arange(len(self)) if self.rows is None else self.rows.origins


@dataclass(frozen=True)
class Texts:
    """Single texts, with columns that tasks take labels from.

    rows   what stands beside the texts
    label  the column of tasks that name none
    time   float64 (N,): seconds since 1970; None: unknown
    given  the split that each row comes with, as `split.PARTS` names it
    notes  what the user should know of them
    files  see `Files`
    """

    text: list[str]
    rows: Rows
    label: str | None = None
    time: np.ndarray | None = None
    given: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    files: Files = ()

    def __len__(self) -> int:
        return len(self.text)


Table = Items | Users | Events | Queries | Texts
T = TypeVar("T", Items, Events, Queries, Texts)


@dataclass(frozen=True)
class Tables:
    """The tables of a run by name.

    notes      what the user should know about them beside each table's own
    summaries  what each was understood as, where that was asked for
    """

    named: Mapping[str, Table]
    notes: list[str] = field(default_factory=list)
    summaries: list[TableSummary] = field(default_factory=list)

    def of(self, sort: type[T]) -> dict[str, T]:
        """The tables of one sort; users are among the items where they have texts."""
        empty = [name for name, table in self.named.items() if isinstance(table, Users) and not table.texts]
        return {n: t for n, t in self.named.items() if isinstance(t, sort) and not (sort is Items and n in empty)}

    def one(self, sort: type[T]) -> T:
        """The only table of a sort."""
        (table,) = self.of(sort).values()
        return table

    @property
    def of_users(self) -> dict[str, Events | Queries]:
        """The tables whose rows are of users."""
        asked = {name: queries for name, queries in self.of(Queries).items() if queries.user is not None}
        return {**self.of(Events), **asked}

    @property
    def user_ids(self) -> list[str]:
        """All users' ids, in user-number order."""
        return next((table.user_ids for table in self.of_users.values()), [])

    @cached_property
    def user_features(self) -> FeatureTable:
        """The features of all users by number, from every table that has some."""
        found = FeatureTable()
        for table in self.named.values():
            if isinstance(table, Users) and table.features:
                place = {name: row for row, name in enumerate(table.ids)}
                rows = np.fromiter((place.get(name, -1) for name in self.user_ids), np.int64, len(self.user_ids))
                found = found.beside(table.features.take(rows))
        return found

    def with_one_set_of_users(self) -> "Tables":
        """The same with users numbered alike in all tables, those of user tables first."""
        numbers: dict[str, int] = {}
        lists = [table.ids for table in self.named.values() if isinstance(table, Users)]
        lists += [table.user_ids for table in self.of_users.values()]
        if all(ids is lists[0] for ids in lists):
            return self
        for ids in lists:
            for name in ids:
                numbers.setdefault(name, len(numbers))
        everyone = list(numbers)
        renumbered = {name: _renumbered(table, numbers, everyone) for name, table in self.of_users.items()}
        return replace(self, named={name: renumbered.get(name, table) for name, table in self.named.items()})


def _renumbered(table: Events | Queries, numbers: Mapping[str, int], everyone: list[str]) -> Events | Queries:
    assert table.user is not None
    if table.user_ids == everyone[: len(table.user_ids)]:
        return replace(table, user_ids=everyone)
    number = np.fromiter((numbers[name] for name in table.user_ids), np.int32, len(table.user_ids))
    moved = replace(table, user=number[table.user], user_ids=everyone)
    return moved.ordered() if isinstance(moved, Events) else moved
