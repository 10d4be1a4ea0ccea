"""How a predictor reads rows (`peftrec.tasks.rows` says what they hold): plain dicts in, a task's examples out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from peftrec.data.catalogue import ItemTexts
from peftrec.data.examples import Examples
from peftrec.data.log import Log
from peftrec.data.texts import TextTable
from peftrec.data.times import moment
from peftrec.errors import RowError, UserError, nearest, shown
from peftrec.runs.saved import LoadedRun
from peftrec.runs.tables import UserLog
from peftrec.serving.features import KEYS, checked_features, encoded, is_number
from peftrec.serving.live import LiveHistories
from peftrec.tasks.rows import Event, Row, text_of


@dataclass(frozen=True)
class _Past:
    """What a user did, oldest first: text rows, item numbers (-1: not in the catalogue), feedback, times, marks."""

    rows: np.ndarray
    items: np.ndarray
    feedback: np.ndarray
    times: np.ndarray
    marks: np.ndarray

    def only(self, which: slice | np.ndarray) -> "_Past":
        return _Past(*(getattr(self, of.name)[which] for of in fields(self)))

    def then(self, later: "_Past") -> "_Past":
        return _Past(*(np.concatenate([getattr(self, of.name), getattr(later, of.name)]) for of in fields(self)))

    def before(self, time: float) -> "_Past":
        """What lies before a time; all of it where the time is NaN."""
        return self if np.isnan(time) else self.only(slice(int(np.searchsorted(self.times, time))))


_NOTHING = _Past(*(np.zeros(0, dtype) for dtype in (np.int32, np.int64, np.float32, np.float64, np.int8)))


@dataclass(frozen=True)
class _Shelf:
    """Where a task's fields find text rows: the run's table of texts and the task's catalogue."""

    texts: TextTable
    items: ItemTexts
    numbers: Mapping[str, int]

    def add(self, text: str, pair: str | None = None, passage: bool = False) -> int:
        """The text row of a text or a pair of texts, new ones added."""
        return self.texts.add(text, pair, passage)

    def item_text(self, row: Row) -> str:
        """The text of the item that a row names by `item` or brings as `item_text`. Raises UserError."""
        if ("item" in row) == ("item_text" in row):
            raise UserError("give one of 'item' (an id of the catalogue) and 'item_text'")
        if "item_text" in row:
            return text_of(row, "item_text")
        number = self.numbers.get(str(row["item"]))
        if number is None:
            raise UserError(f"no item {shown(str(row['item']))} in the catalogue; for a new item give its 'item_text'")
        return self.texts.texts[self.items.rows[number]]


class RowReader:
    """Reads the rows given to a loaded run; texts that it does not have are added to its table.

    live  what users did since; an event counts where it is later than all that the run's log has of the user
    """

    def __init__(self, run: LoadedRun, live: LiveHistories | None = None) -> None:
        self._live = LiveHistories() if live is None else live
        self.run, self._texts = run, run.model.encoder.texts
        none = ItemTexts([], np.zeros(0, np.int32))
        numbers = {name: {item: number for number, item in enumerate(of.ids)} for name, of in run.items.items()}
        of_task = {name: of["items"] for name, of in run.described.items()}
        self._shelves = {
            task: _Shelf(self._texts, run.items.get(name, none), numbers.get(name, {}))
            for task, name in of_task.items()
        }
        kept = [*run.logs.values(), *run.received.values()]
        self._users = {id(of.user_ids): {name: n for n, name in enumerate(of.user_ids)} for of in kept}
        self._known_users = {name: number for number, name in enumerate(run.users.ids)}
        self._of_items = {
            task: of["item"].by_number(run.items_of(task).features)
            for task, of in run.encodings.items()
            if "item" in of
        }
        self._of_users = {
            task: of["user"].by_number(run.users.features) for task, of in run.encodings.items() if "user" in of
        }

    def examples(self, task: str, rows: Sequence[Row]) -> Examples:
        """The rows as examples of the task; labels are zero. Raises RowError for the first row that is wrong."""
        kind, described, shelf = self.run.tasks[task].kind, self.run.described[task], self._shelves[task]
        allowed = self.keys(task)
        slots: dict[str, list[int]] = {name: [] for name in described["slots"]}
        pasts: list[tuple[_Past, _Past]] = []
        times: list[float] = []
        items: list[int] = []
        brought: list[Row] = []
        known: dict[str, tuple[_Past, _Past]] = {}  # what users did: rows often are candidates for one of them
        for number, row in enumerate(rows, 1):
            try:
                check_keys(row, allowed, f"task {task!r}")
                for name, column in slots.items():
                    column.append(kind.fields[name].read(row, shelf))
                items.append(shelf.numbers.get(str(row.get("item")), -1))
                times.append(moment(row["time"]) if "time" in row else np.nan)
                if kind.moment is not None and "time" not in row:
                    raise UserError("'time' is missing: the moment to predict from")
                if described["history"]:
                    remembered, received = self._past(task, row, known)
                    pasts.append((remembered.before(times[-1]), received.before(times[-1])))
                brought.append(self._features(task, row))
            except UserError as error:
                raise RowError(number, str(error)) from None
        examples = Examples(
            slots={name: np.array(column, np.int32) for name, column in slots.items()},
            label=np.zeros(len(rows), np.float32),
            features=np.zeros((len(rows), 0), np.float32),
            group=np.arange(len(rows)),
            item=np.array(items, np.int64),
            time=np.array(times),
        )
        ranked, begun = self.run.catalogues.get(task), self.run.starts.get(task)
        examples = replace(examples, catalogue=ranked, offsets=begun, repeats=bool(described.get("repeats")))
        examples = self._with_features(task, examples, rows, brought)
        return self._with_history(task, examples, pasts) if described["history"] else examples

    def text(self, number: int, text: str, passage: bool) -> int:
        """The text row of a text by itself. Raises RowError for text `number` where it is empty or no Unicode."""
        try:
            return self._texts.add(text_of({"text": text}, "text"), passage=passage)
        except UserError as error:
            raise RowError(number, str(error)) from None

    def keys(self, task: str) -> list[str]:
        """The keys that a row of the task may have."""
        fields, described = self.run.tasks[task].kind.fields, self.run.described[task]
        found = list(dict.fromkeys(key for slot in described["slots"] for key in fields[slot].keys))
        found += ["user", "history", "time"] if described["history"] else []
        found += ["user"] if "user" in self.run.encodings[task] and not described["history"] else []
        return found + [key for key, of in KEYS.items() if of in self.run.encodings[task]]

    def users_of(self, task: str) -> list[str]:
        """The users that a row of the task may name."""
        kept = [of.user_ids for of in (self.run.logs.get(task), self.run.received.get(task)) if of is not None]
        kept += [self.run.users.ids] if "user" in self.run.encodings[task] else []
        return list(dict.fromkeys(user for ids in kept for user in ids))

    def numbers_of(self, task: str) -> Mapping[str, int]:
        """The ids of the task's catalogue and their numbers."""
        return self._shelves[task].numbers

    def of_items(self, task: str) -> np.ndarray | None:
        """The features of the catalogue's items as the task's `Examples.of_items`."""
        return self._of_items.get(task)

    def _features(self, task: str, row: Row) -> Row:
        """The features that a row brings, by its keys. Raises UserError."""
        encodings, history = self.run.encodings[task], self.run.described[task]["history"]
        for key, known, new in (
            ("item_features", "item", "go with 'item_text'"),
            ("user_features", "user", "go with 'history'" if history else "are of a new user"),
        ):
            if key in row and known in row:
                raise UserError(f"{key!r} {new}; those of a known {known!r} are the run's own")
        if "user" in row and "user" in encodings and not history and str(row["user"]) not in self._known_users:
            raise UserError(f"no user {shown(str(row['user']))} in the run; of a new one give 'user_features'")
        return {key: checked_features(row[key], key, encodings[of]) for key, of in KEYS.items() if key in row}

    def _with_features(self, task: str, examples: Examples, rows: Sequence[Row], brought: Sequence[Row]) -> Examples:
        """With the features of each row's item, user and event, known or brought along."""
        encodings = self.run.encodings[task]
        given = {
            of: encoded([one.get(key, {}) for one in brought], encodings[of])
            for key, of in KEYS.items()
            if of in encodings
        }
        fused = self.run.model.fusion.described_for(task) if "item" in examples.slots else None
        users = None
        if "user" in encodings:
            number = np.array([self._known_users.get(str(row["user"]), -1) if "user" in row else -1 for row in rows])
            known = self._of_users[task]
            users = np.where(number[:, None] < 0, given["user"], known[number])  # a row's user has the row's number
        return replace(
            examples,
            of_items=self.of_items(task),
            of_new=given.get("item"),
            brought=None if fused is None else encoded([of.get("item_features", {}) for of in brought], fused.encoding),
            of_users=users,
            of_events=given.get("event"),
        )

    def _past(self, task: str, row: Row, known: dict[str, tuple[_Past, _Past]]) -> tuple[_Past, _Past]:
        """What the row's user did, and what of it says how items were received; `known` of users, and added to."""
        if ("user" in row) == ("history" in row):
            raise UserError("give one of 'user' (a user of the run's log) and 'history' ([] for a new user)")
        if "history" in row:
            return self._given_past(task, row["history"])
        user = str(row["user"])
        if user not in known:
            known[user] = self._past_of(task, user)
        return known[user]

    def _past_of(self, task: str, user: str) -> tuple[_Past, _Past]:
        """The same of a user of the run's log, or of whom was told since. Raises UserError for another."""
        logs = (self.run.logs[task], self.run.received[task])
        remembered, received = (self._logged(of, user) for of in logs)
        since = self._since(task, user, max([-np.inf, *remembered.times[-1:], *received.times[-1:]]))
        known = user in self._known_users or any(user in self._users[id(of.user_ids)] for of in logs)
        if not since:
            if not known:
                raise UserError(f"no user {shown(user)} in the run's log; for a new user give 'history': []")
            return remembered, received
        more, more_received = self._given_past(task, since, remembered)
        return remembered.then(more), received.then(more_received)

    def _since(self, task: str, user: str, last: float) -> list[Row]:
        """What the user did after a time, of what the task remembers, as events of a 'history'."""
        numbers, tables = self._shelves[task].numbers, self.run.described[task]["tables"]
        column, found = self.run.tasks[task].config.column or "value", []
        if not (told := self._live.of(user)):
            return []
        reads = self._reads_values(task)
        for event in told:
            if event.time > last and event.item in numbers and event.table in (None, *tables):
                row: Row = {"item": event.item, "time": event.time}
                row |= {"value": event.values[column]} if reads and column in event.values else {}
                found.append(row | ({} if event.table is None or len(tables) < 2 else {"table": event.table}))
        return found

    def _logged(self, of: UserLog, user: str) -> _Past:
        """What a log has of a user; nothing where it lacks them."""
        log, number = of.log, self._users[id(of.user_ids)].get(user)
        part = slice(0, 0) if number is None else slice(*log.user_start[number : number + 2])
        marks = np.zeros(len(log), np.int8) if log.marks is None else log.marks
        return _Past(log.rows[part], log.items[part], log.feedback[part], log.times[part], marks[part])

    def _reads_values(self, task: str) -> bool:
        """Whether the task's kind takes a value with an event; some refuse one."""
        of = self.run.tasks[task]
        assert of.kind.feedback is not None  # the task has histories
        try:
            of.kind.feedback([Event(1.0, 0.0)], of, self.run.described[task]["scale"])
        except UserError:
            return False
        return True

    def _given_past(self, task: str, history: Any, before: _Past = _NOTHING) -> tuple[_Past, _Past]:
        """The same of events that a row brings, after what the user did `before`. One with the value 0, of a table that
        hides such, was shown and not clicked; where lists were shown, one without a value is a click that stands in
        none."""
        if not isinstance(history, list):
            raise UserError(f"'history' is a list of item ids or events, oldest first; found {shown(history)}")
        shelf, described, own = self._shelves[task], self.run.described[task], self._own(task)
        tables = described["tables"]
        events = [event if isinstance(event, dict) else {"item": event} for event in history]
        keys = ["item", "item_text", "value", "time", *(["table"] if len(tables) > 1 else [])]
        for event in events:
            check_keys(event, keys, "an event of 'history'")
            if event.get("table", tables[own]) not in tables:
                raise UserError(f"'table' is one of {', '.join(tables)}; found {shown(event['table'])}")
        rows = [
            shelf.add(shelf.item_text({k: v for k, v in of.items() if k in ("item", "item_text")}), passage=True)
            for of in events
        ]
        items = [shelf.numbers.get(str(event.get("item")), -1) for event in events]
        times = np.array([moment(event["time"]) if "time" in event else -np.inf for event in events])
        if (times[1:] < times[:-1]).any():
            raise UserError("the events of 'history' must be in order of time, oldest first")
        past = [Event(_value(event), time) for event, time in zip(events, times.tolist(), strict=True)]
        marks = np.array([tables.index(event.get("table", tables[own])) for event in events], np.int8)
        of = self.run.tasks[task]
        assert of.kind.feedback is not None  # the task has histories
        feedback = np.zeros(len(events), np.float32)
        for mark in np.unique(marks):  # what an event says may depend on the one before in its table
            chosen = np.flatnonzero(marks == mark)
            earlier = [Event(None, time) for time in before.times[before.marks == mark].tolist()]
            own_events = [*earlier, *(past[place] for place in chosen)]
            feedback[chosen] = of.kind.feedback(own_events, of, described["scale"])[len(earlier) :]
        found = _Past(np.array(rows, np.int32), np.array(items, np.int32), feedback, times, marks)
        values = [event.value for event in past]
        hidden = [value == 0 and tables[mark] in described["hides"] for value, mark in zip(values, marks, strict=True)]
        outside = [value is None and described["impressions"] for value in values]
        received = (marks == own) & ~np.array(outside, bool)
        return found.only(~np.array(hidden, bool)), found.only(received)

    def _own(self, task: str) -> int:
        """The place of the task's own table among those of its histories; the first where it is of queries."""
        tables, own = self.run.described[task]["tables"], self.run.tasks[task].config.table
        return tables.index(own) if own in tables else 0

    def _with_history(self, task: str, examples: Examples, pasts: list[tuple[_Past, _Past]]) -> Examples:
        """With each row's past and then the row itself, as one log; the window ends before the row."""
        kind, several = self.run.tasks[task].kind, len(self.run.described[task]["tables"]) > 1
        log = _joined([remembered for remembered, _ in pasts], examples, self._own(task))
        received = _joined([received for _, received in pasts], examples, self._own(task))
        stop, last = (of.user_start[1:] - 1 for of in (log, received))  # the rows themselves, which end the pasts
        if kind.moment is not None:  # an earlier version's run may have fewer features
            made = kind.moment(received.times, received.user_start)[last]
            examples = replace(examples, features=made[:, : len(self.run.described[task]["features"])])
        first = np.maximum(log.user_start[:-1], stop - self.run.recipe.data.history)
        examples = replace(examples, log=log if several else replace(log, marks=None), start=first, stop=stop)
        if self.run.described[task].get("untimed"):  # no event is before another; in the log of rates no row is
            examples = replace(examples, own=stop, rated=np.full(len(stop), -1))
        if (rates := self.run.rates.get(task)) is None:
            return examples
        return examples.with_rates(rates.of_users_in(received), last)


def _joined(pasts: list[_Past], examples: Examples, own: int) -> Log:
    """One log of each row's past and then the row itself, an event of the table `own`."""
    each = np.ones(len(pasts))

    def column(name: str, own: np.ndarray, dtype: Any) -> np.ndarray:
        parts = [part for past, one in zip(pasts, own, strict=True) for part in (getattr(past, name), [one])]
        return np.concatenate(parts).astype(dtype)

    return Log(
        rows=column("rows", examples.slots["item"], np.int32),
        items=column("items", -each, np.int32),
        times=column("times", examples.time, np.float64),
        user_start=np.append(0, np.cumsum([len(past.rows) + 1 for past in pasts])),
        feedback=column("feedback", 0 * each, np.float32),
        marks=column("marks", own * each, np.int8),
    )


def check_keys(given: Any, allowed: list[str], of: str) -> None:
    """Raise UserError where a row is no dict, or has a key that is none `of` such a row."""
    if not isinstance(given, dict):
        raise UserError(f"a row is a dict of keys and values; found {shown(given)}")
    for key in given:
        if key not in allowed:
            raise UserError(f"{shown(key)} is no key of {of}; {nearest(str(key), allowed)}")


def _value(event: Row) -> float | None:
    value = event.get("value")
    if "value" in event and not is_number(value):
        raise UserError(f"'value' must be a number; found {shown(value)}")
    return value
