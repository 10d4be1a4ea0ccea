"""Examples: the columns of one task's rows, with causal histories as windows of the log."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.history import History, histories
from peftrec.data.log import Log, spans
from peftrec.data.matches import Matches
from peftrec.data.rates import Rates
from peftrec.data.views import Gathered, as_array

FITTED = 1 << 18  # rows that what has a few numbers is fitted on at most
AT_ONCE = 1 << 22  # rows of a split that are looked at together
COLUMNS = (
    *("label", "features", "group", "user", "item", "time", "start", "stop", "own", "rated", "places", "seen"),
    *("weight", "of_events", "of_new", "brought", "offset", "row", "fold"),
)


@dataclass(frozen=True)
class Examples:
    """Rows of one task as columns; all arrays share the first dimension N. Of whole splits they are `Gathered`.

    slots     name -> int32 (N,) rows of the text table: query, item, text or pair
    features  float32 (N, F)
    label     float32 or int64 (N,): class or grade number for cross-entropy, else the target itself; float32 (N, C), 1
              or 0 for each class, where a row may have several
    group     int (N,): what the row belongs to: a user, a list that was shown, a query, or nothing but itself
    user      int (N,): user number, where it is not the group; see `users`
    item      int (N,): item number in the catalogue, -1 without one
    time      float64 (N,): seconds since 1970, NaN without one
    start, stop  int (N,): the example's history is log[start:stop], oldest first, at most `history` long;
              None without histories. Windows instead of an (N, H) matrix keep memory flat.
    own       int64 (N,): the event in that window that the row itself is, and that is no part of its history, -1 where
              it is none; None where histories end before their row, as in all data with times. Without times the log
              holds what is known to the row: of train and valid rows the train rows, of test rows the valid rows too
    rates     how items and users were received before; adds RATE_FEATURES to the inputs. See `with_rates`
    rated     int64 (N,): the event of the log that `rates` is of which the row itself is; as `own`
    places    int32 (N,): where each row's item and time come among what `rates` is of
    seen      int (N,): where the user's events before the row end in the log that `rates` is of
    catalogue   what the task ranks, for kinds that tell the item from all others
    fold      int (N,): which fold of the users each train row is of, -1 of others, which may know of all train rows
    candidates  int64 (C,): item numbers that a training step tells the rows' own from; see `drawn`
    matches   which items are known to match the rows' queries, by group, for kinds whose rows are matches
    repeats   whether what a user met before the row stays among what is ranked for it
    weight    float32 (N,): how much each row counts in the loss, 1 in the mean of the train rows; None: all alike
    offsets   rows -> what the task's start says of each, which the head's raw output is added to: float32 (N,) or
              (N, C); None: heads begin at a constant. See `peftrec.tasks.starts`
    offset    the same of these rows where it is known: of train rows what a start says that was not fitted on them
    row       int (N,): where each stands in the files of its table, from 0; None: unknown

    What the tables' features are for heads, as columns that an Encoding made; None without features:

    of_items    float32 (I + 1, F): of every item by its number; the last of one of which nothing is known
    of_users    float32 (U + 1, F): the same of users
    of_events   float32 (N, F): of the row's own event
    of_new      float32 (N, F): of the row's item where it is not in the catalogue; None: nothing is known of such
    brought     float32 (N, F): the same as the fusion reads it; None where features are no part of items' vectors
    """

    slots: dict[str, np.ndarray]
    label: np.ndarray
    features: np.ndarray
    group: np.ndarray
    item: np.ndarray
    time: np.ndarray
    user: np.ndarray | None = None
    log: Log | None = None
    start: np.ndarray | None = None
    stop: np.ndarray | None = None
    own: np.ndarray | None = None
    rated: np.ndarray | None = None
    rates: Rates | None = None
    places: np.ndarray | None = None
    seen: np.ndarray | None = None
    catalogue: Catalogue | None = None
    fold: np.ndarray | None = None
    candidates: np.ndarray | None = None
    matches: Matches | None = None
    repeats: bool = False
    weight: np.ndarray | None = None
    offsets: "Callable[[Examples], np.ndarray] | None" = None
    offset: np.ndarray | None = None
    of_items: np.ndarray | None = None
    of_users: np.ndarray | None = None
    of_events: np.ndarray | None = None
    of_new: np.ndarray | None = None
    brought: np.ndarray | None = None
    row: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def users(self) -> np.ndarray:
        """User numbers int (N,), for rows of users; of others their groups."""
        return self.group if self.user is None else self.user

    def take(self, index: np.ndarray) -> "Examples":
        """The examples at `index`, in that order; the log is shared."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        taken: dict[str, Any] = {name: None if of is None else of[index] for name, of in columns.items()}
        return replace(self, slots={name: rows[index] for name, rows in self.slots.items()}, **taken)

    def part(self, index: np.ndarray) -> "Examples":
        """The same, but columns are only referred to: many rows take no more memory than their numbers."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        taken: dict[str, Any] = {
            name: None if of is None else as_array(Gathered(of, index)) for name, of in columns.items()
        }
        slots = {name: as_array(Gathered(rows, index)) for name, rows in self.slots.items()}
        return replace(self, slots=slots, **taken)

    def thinned(self, most: int) -> "Examples":
        """The examples, or where there are more than `most`, at least one, every so many of them: what is fitted to a
        few numbers needs no more."""
        most = max(1, most)
        return self if len(self) <= most else self.take(np.arange(most) * len(self) // most)

    def blocks(self, most: int) -> "Iterator[Examples]":
        """The rows in their order, at most so many at a time."""
        for first in range(0, len(self), most):
            yield self.take(np.arange(first, min(first + most, len(self))))

    def with_rates(self, rates: Rates, seen: np.ndarray | None = None, places: np.ndarray | None = None) -> "Examples":
        """The examples with inputs from how their items and users were received before.

        `seen` (N,): where each user's events before the row end in the log of `rates`; default: where histories do.
        `places` (N,): see Rates; looked up where they are not known.
        """
        seen = self.stop if seen is None else seen
        places = rates.places(self.item, self.time) if places is None else places
        return replace(self, rates=rates, places=places, seen=seen)

    def begin(self) -> np.ndarray | None:
        """What is added to the head's raw output of each row, float32 (N,) or (N, C); None without a start."""
        if self.offset is not None:
            return np.asarray(self.offset)
        return None if self.offsets is None else self.offsets(self)

    def drawn(self, seed: int, step: int, rows: np.ndarray) -> "Examples":
        """The examples with the candidates of a training step, for a task that ranks a catalogue; else themselves.

        `rows`: the step's. All of them share the candidates, so its gradient does not depend on how the rows are cut
        into pieces.
        """
        if self.catalogue is None:
            return self
        if self.matches is None:
            return replace(self, candidates=self.catalogue.candidates(seed, step))
        return replace(self, candidates=self.matches.candidates(self.group[rows], self.item[rows], seed, step))

    def with_every_candidate(self) -> "Examples":
        """The examples with the whole catalogue as candidates."""
        assert self.catalogue is not None
        return replace(self, candidates=np.arange(len(self.catalogue)))

    def candidate_rows(self) -> np.ndarray:
        """Text rows of the candidates, int32 (C,); none without."""
        if self.catalogue is None or self.candidates is None:
            return np.zeros(0, np.int32)
        return self.catalogue.rows[self.candidates]

    def met(self) -> tuple[np.ndarray, np.ndarray]:
        """What the users had met before their rows, or without times beside them: the row int64 (M,) and the item (M,)
        of each event of their whole past, row by row and oldest first; -1 of one that the catalogue lacks. Of rows that
        are matches, the other matches of their queries."""
        if self.matches is not None:
            row, item = self.matches.of(self.group)
            others = item != self.item[row]
            return row[others], item[others]
        if self.log is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        begin, count = self._past()
        row, place = spans(begin, count)
        if self.own is not None:
            row, place = (of[place != self.own[row]] for of in (row, place))
        return row, self.log.items[place]

    def met_count(self) -> np.ndarray:
        """How many events `met` has of each row, int64 (N,), for rows with histories."""
        _, count = self._past()
        return count if self.own is None else count - (np.asarray(self.own) >= 0)

    def repeated(self) -> np.ndarray:
        """Whether each row's user had met its item before, or without times beside the row, bool (N,)."""
        if self.log is None:
            return np.zeros(len(self), bool)
        assert self.stop is not None
        first, events = self.log.first_of(self.users, self.item)
        if self.own is None:
            return np.asarray(first < self.stop)
        there: np.ndarray = events > 0
        return there & ((first != self.own) | (events > 1))

    def _past(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each row's user begins in the log (N,), and how many events from there on are what the user met."""
        assert self.log is not None and self.stop is not None
        begin = self.log.user_start[self.users]
        return begin, (self.stop if self.own is None else self.log.user_start[self.users + 1]) - begin

    def barred(self) -> np.ndarray | None:
        """Which candidates are no alternatives to a row's own item, bool (N, C): itself, one of the same text, another
        match of its query, and unless `repeats` what the user met before. None without candidates."""
        if self.catalogue is None or self.candidates is None:
            return None
        barred: np.ndarray = self.candidate_rows() == self.slots["item"][:, None]
        if not self.repeats:
            row, item = self.met()
            column = np.full(len(self.catalogue) + 1, -1)  # the last is of items that the catalogue lacks
            column[self.candidates] = np.arange(len(self.candidates))
            place = column[item]
            barred[row[place >= 0], place[place >= 0]] = True
        return barred

    def inputs(self) -> np.ndarray:
        """What heads read beside texts, float32 (N, F): the features, and rates as they stood at each row's time."""
        if self.rates is None:
            return self.features
        assert self.places is not None and self.seen is not None
        of_items = self.rates.of_items(self.item, self.places, self.rated)
        return np.concatenate([self.features, of_items, self.rates.of_users(self.users, self.seen, self.rated)], 1)

    def features_of_item(self) -> np.ndarray | None:
        """The features of each row's item, float32 (N, F); None without."""
        if self.of_items is None or self.of_new is None:
            return None if self.of_items is None else self.of_items[self.item]
        return np.where(self.item[:, None] < 0, self.of_new, self.of_items[self.item])

    def features_of_asker(self) -> np.ndarray | None:
        """The features of each row's user and then of its event, float32 (N, F); None without."""
        parts = [] if self.of_users is None else [self.of_users[self.users]]
        parts += [] if self.of_events is None else [self.of_events]
        return np.concatenate(parts, 1) if parts else None

    def features_of_candidates(self) -> np.ndarray | None:
        """The features of the candidates, float32 (C, F); None without."""
        return None if self.of_items is None or self.candidates is None else self.of_items[self.candidates]

    def text_rows(self) -> np.ndarray:
        """The text rows that any slot or history of these examples refers to, ascending, int64 (U,)."""
        found = [np.unique(self.candidate_rows())]
        for first in range(0, len(self), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            parts = [of[rows] for of in self.slots.values()]
            if self.log is not None and self.start is not None and self.stop is not None:
                # An event is in some window where more windows have begun than ended.
                start, stop = self.start[rows], self.stop[rows]
                least, most = int(start.min()), int(stop.max())
                begun, ended = (np.bincount(ends - least, minlength=most - least + 1) for ends in (start, stop))
                parts.append(self.log.rows[np.flatnonzero(np.cumsum(begun - ended)[:-1]) + least])
            used = np.zeros(1 + max(int(of.max(initial=-1)) for of in parts), bool)
            for of in parts:
                used[of] = True
            found.append(np.flatnonzero(used))
        return np.unique(np.concatenate(found)).astype(np.int64)

    def told(self, past: History) -> np.ndarray:
        """Which events of the rows' histories say how they were received, bool (N, H): of several tables, the task's
        own, which rates are of."""
        present: np.ndarray = past.rows >= 0
        others = None if self.rates is None else self.rates.others
        return present if others is None or others.own is None else present & (past.marks == others.own)

    def history(self) -> History:
        """Histories as (N, H), absent places on the left. H is the longest history of these rows."""
        assert self.log is not None and self.start is not None and self.stop is not None
        return histories(self.log, self.start, self.stop, self.own)
