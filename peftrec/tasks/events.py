"""What the kinds on events share: an example is an event and its past, split by time, with standardised feedback.

Without times an event's past is what else its user did among the rows that are known to it: to train and valid rows
those of train, to test rows those of valid too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from peftrec.data.catalogue import fold_of
from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.features import FeatureTable
from peftrec.data.log import Log, merged
from peftrec.data.rates import Rates, counts_beside
from peftrec.data.remarks import unseen
from peftrec.data.scales import to_log
from peftrec.data.split import LEFT_OUT, PARTS, TRAIN, VALID, Divisible
from peftrec.data.tables import Events, Items, Tables
from peftrec.data.texts import TextTable
from peftrec.data.views import Gathered, WindowStart, as_array
from peftrec.errors import UserError, nearest, shown
from peftrec.recipe import DataConfig, SplitConfig, TaskConfig
from peftrec.tasks.building import Later, catalogue_of, cut, divided, item_rows, table_of
from peftrec.tasks.kind import Task

PAST = ("log", "start", "stop", "own", "rates", "rated", "places", "seen", "fold")  # of examples: what was before them
Counted = Callable[[Events], np.ndarray]  # a table's events -> their feedback (E,), as a task counts them


@dataclass(frozen=True)
class Past:
    """What a task on events reads.

    name     the name of its own table
    events   its own events
    items    the catalogue that they are of
    parts    int8 (E,): the part of each
    split    how they were divided
    history  name -> the events that histories are of, its own among them
    of_all   name -> the parts of each of these tables, where there are several or they have no times
    users    the features of users
    """

    name: str
    events: Events
    items: Items
    parts: np.ndarray
    split: SplitConfig
    history: Mapping[str, Events]
    of_all: Mapping[str, np.ndarray]
    users: FeatureTable

    @property
    def own(self) -> int:
        """The place of its own table among those of histories."""
        return list(self.history).index(self.name)

    def clicks(self) -> "Past":
        """The same of what was clicked alone, for kinds that do not ask what was clicked of what was shown."""
        history = {name: of.clicks for name, of in self.history.items()}
        of_all = {name: parts[self.history[name].chosen] for name, parts in self.of_all.items()}
        parts = self.parts[self.events.chosen]
        return replace(self, events=self.events.clicks, parts=parts, history=history, of_all=of_all)

    def with_valid(self) -> "Past":
        """The same where validation rows count as train rows."""
        of_all = {name: _with_valid(parts) for name, parts in self.of_all.items()}
        return replace(self, parts=_with_valid(self.parts), of_all=of_all)


def _with_valid(parts: np.ndarray) -> np.ndarray:
    return np.where(parts == VALID, np.int8(TRAIN), parts)


def tables_of(tables: Tables, names: list[str], own: str, catalogue: str, rule: str) -> dict[str, Events]:
    """The event tables that a task's `history` names. Raises UserError for one that there is not, and for one of
    another catalogue than the task's own table, which breaks the rule that is given in words."""
    found = tables.of(Events)
    for name in names:
        if name not in found:
            raise UserError(f"history: no event table {shown(name)}; {nearest(name, list(found))}")
        if found[name].catalogue != catalogue:
            raise UserError(
                f"history: its tables are of {rule}: {own} is of {catalogue}, {name} of {found[name].catalogue}"
            )
    return {name: found[name] for name in names}


def read_past(tables: Tables, task: Task, data: DataConfig, seed: int) -> tuple[Past, list[str]]:
    """The tables that a task names, its own split, and what the user should know of that. Raises UserError."""
    name, events = table_of(tables, Events, task)
    names = task.config.history or [name]
    found = tables_of(tables, names, name, events.catalogue, "one catalogue")
    for other in names:
        if (found[other].time is None) != (events.time is None):
            timeless = other if found[other].time is None else name
            raise UserError(f"history: its tables all have times, or none has; {timeless} has none")
    if len(set(names)) < len(names) or name not in names:
        raise UserError(f"history: names each table once, the task's own, {name}, among them; found {shown(names)}")
    items = catalogue_of(tables, events, task)
    parts, split, notes = split_events(name, events, data, seed)
    of_all = {other: parts if other == name else _parts(other, found[other], data, seed) for other in names}
    return Past(name, events, items, parts, split, found, of_all, tables.user_features), notes


def _parts(name: str, events: Events, data: DataConfig, seed: int) -> np.ndarray:
    """The part int8 (E,) of every event of a table that histories are of. Such a table need not come with the parts
    that the run's split asks for: by time it is known what was before a row, and all of it is for training then."""
    if events.time is not None and events.given is None and data.split_of(name).kind == "given":
        return np.full(len(events), TRAIN, np.int8)
    return split_events(name, events, data, seed)[0]


def event_examples(
    past: Past,
    texts: TextTable,
    data: DataConfig,
    label: np.ndarray,
    counted: Counted,
    seed: int,
    features: np.ndarray | None = None,
    rates: bool = False,
) -> Examples:
    """Every event as an example with its history. `label` (E,), `features` (E, F).

    `rates`: with how items and users were received before.
    """
    events, rows = past.events, item_rows(past.items, texts)
    examples = Examples(
        slots={"item": as_array(Gathered(rows, events.item))},
        label=label,
        features=np.zeros((len(events), 0), np.float32) if features is None else features,
        group=events.user,
        item=events.item,
        time=np.full(len(events), np.nan) if events.time is None else events.time,
        row=events.row,
        fold=np.where(past.parts == TRAIN, fold_of(events.user), -1).astype(np.int8),
    )
    if events.time is None:
        examples, own, seen = _among_the_others(examples, past, rows, data.history, counted, seed)
    else:
        examples, own, seen = _before_the_row(examples, past, rows, data.history, counted)
    if not rates:
        return examples
    assert examples.log is not None
    train, others = counted(events)[past.parts == TRAIN], counts_beside(examples.log, past.own)
    received = Rates(own, float(train.mean(dtype=np.float64)) if len(train) else 0.0, others)
    of_rows = events.time is not None and events.received is events  # every row is an event of the log
    return examples.with_rates(received, seen, received.places_of_log if of_rows else None)


def known_later(past: Past, made: Callable[[Past], Examples]) -> Later | None:
    """What is known to events once the validation rows are; None where they have times: one log says then what was
    before any row. `made` makes the examples of such a past."""
    if past.events.time is not None:
        return None
    past = past.with_valid()
    rows = made(past)
    return Later({name: getattr(rows, name) for name in PAST}, past.parts)


def _before_the_row(
    examples: Examples, past: Past, rows: np.ndarray, most: int, counted: Counted
) -> tuple[Examples, Log, np.ndarray]:
    """With histories that hold what is strictly before each row; the log of what the task's own table says of how items
    were received, and where in it (E,) the user's events before each row end."""
    logs = {name: _log(of.remembered, of.remembered.time, rows, counted) for name, of in past.history.items()}
    own, log, received = logs[past.name], merged(list(logs.values())), past.events.received
    if received is not past.events.remembered:
        own = _log(received, received.time, rows, counted)
    seen = past.events.moment if received is past.events else own.before(examples.users, examples.time)
    stop = seen if log is own else log.before(examples.users, examples.time)
    start = as_array(WindowStart(log.user_start, examples.users, stop, most))
    return replace(examples, log=log, start=start, stop=stop), own, seen


def _among_the_others(
    examples: Examples, past: Past, rows: np.ndarray, most: int, counted: Counted, seed: int
) -> tuple[Examples, Log, np.ndarray]:
    """With histories that hold the user's other events among the train rows, at most so many, in an order that is
    drawn."""
    random, logs = np.random.default_rng(seed), dict[str, Log]()
    place, rated = np.full((2, len(examples)), -1)  # of the train rows in their own table's logs
    for name, events in past.history.items():
        drawn = random.random(len(events))
        chosen = np.flatnonzero(past.of_all[name] == TRAIN)
        chosen = chosen[np.lexsort((drawn[chosen], events.user[chosen]))]
        kept = chosen[events.chosen[chosen]] if events.hides else chosen
        logs[name] = _log(events.take(kept), drawn[kept], rows, counted)
        if name == past.name:
            place[kept], rated[chosen] = np.arange(len(kept)), np.arange(len(chosen))
            own = logs[name] if len(kept) == len(chosen) else _log(events.take(chosen), drawn[chosen], rows, counted)
    log = merged(list(logs.values()))
    among = np.arange(len(log)) if log.marks is None else np.flatnonzero(log.marks == past.own)
    inside = np.where(place < 0, -1, np.append(among, -1)[place])
    log, own = (replace(of, times=np.zeros(len(of))) for of in (log, own))
    begin, end = log.user_start[examples.users], log.user_start[examples.users + 1]
    # A train row stands in the middle of its window, which it is then left out of; where the log ends it moves over.
    width = most + (inside >= 0)
    start = np.where(inside >= 0, np.clip(inside - most // 2, begin, np.maximum(begin, end - width)), end - width)
    start = np.maximum(begin, start)
    stop = np.minimum(end, start + width)
    examples = replace(examples, log=log, start=start, stop=stop, own=inside, rated=rated)
    return examples, own, own.user_start[examples.users + 1]


def _log(events: Events, times: np.ndarray | None, rows: np.ndarray, counted: Counted) -> Log:
    assert times is not None
    return Log(as_array(Gathered(rows, events.item)), events.item, times, events.user_start, counted(events))


def cut_events(
    examples: Examples,
    past: Past,
    data: DataConfig,
    notes: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    scale: tuple[float, float] = (0.0, 1.0),
    later: Later | None = None,
) -> TaskData:
    """The examples cut by the splits of their events; `later`: see `known_later`.

    Raises UserError for an empty split.
    """
    apart = (past.split.by or "user") if past.split.kind == "by-group" else None
    return cut(
        examples,
        past.parts,
        past.split,
        feature_names=feature_names,
        notes=[*notes, *unseen(examples.item, examples.users, past.parts, apart)],
        scale=scale,
        items=past.events.catalogue,
        history=list(past.history),
        key=data.key_of_split(past.name),
        features={"item": past.items.features, "user": past.users, "event": past.events.features},
        files=past.events.files,
        later=later,
    )


def split_events(name: str, events: Events, data: DataConfig, seed: int) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (E,) of every event, how they were divided, and what the user should know. Raises UserError."""
    if events.impression is not None:
        return _split_lists(name, events, events.impression, data, seed)
    rows = Divisible(
        sort="events",
        rows=len(events),
        time=events.time,
        groups={"user": events.user, "item": events.item},
        user_start=None if events.time is None else events.user_start,
        given=events.given,
    )
    return divided(rows, name, data, seed)


def _split_lists(
    name: str, events: Events, lists: np.ndarray, data: DataConfig, seed: int
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The same where lists were shown, which stay whole; what stands in none is left out."""
    if data.split_of(name).by == "item":
        raise UserError(f"split.by: lists that were shown stay whole in table {name}, so it takes user; found 'item'")
    numbers, found, which = np.unique(lists, return_index=True, return_inverse=True)
    first = np.sort(found[numbers >= 0])  # of every list, in the order of the events
    place = np.where(lists < 0, -1, np.searchsorted(first, found[which]))
    each = events.take(first)
    rows = Divisible(
        sort="events",
        rows=len(each),
        time=each.time,
        groups={"user": each.user},
        user_start=each.user_start,
        given=each.given,
    )
    parts, split, notes = divided(rows, name, data, seed)
    if split.kind == "given" and events.given is not None and each.given is not None:
        for part, at in zip(events.given, place.tolist(), strict=True):
            if at >= 0 and PARTS[part] != PARTS[each.given[at]]:
                raise UserError(f"split: a list that was shown stays whole in table {name}; one is of several parts")
    return np.append(parts, np.int8(LEFT_OUT))[place], split, notes


def event_column(events: Events, name: str, key: str = "column") -> np.ndarray:
    """A numeric column of the events, which the task's `key` names. Raises UserError naming those they have."""
    if name not in events.columns:
        raise UserError(
            f"{key}: the events have no numeric column {name!r}; they have {listed(events)} (data.events.columns)"
        )
    return events.columns[name]


def event_weights(events: Events, config: TaskConfig) -> np.ndarray | None:
    """What `row_weight` names of the events; None without. Raises UserError."""
    return None if config.row_weight is None else event_column(events, config.row_weight, "row_weight")


def listed(events: Events) -> str:
    """The names of the numeric columns."""
    return ", ".join(events.columns) or "none"


def train_scale(values: np.ndarray, parts: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the train rows, by which feedback is standardised; (0, 1) without train rows."""
    train = values[parts == TRAIN]
    return (float(train.mean()), float(train.std()) or 1.0) if len(train) else (0.0, 1.0)


def numbers_of(events: Events, column: str, scale: tuple[float, float], log: bool = False) -> np.ndarray:
    """A table's column as the feedback of its events, standardised, float32 (E,); without it all are average.

    `log`: by `to_log` of it, which the scale is then of.
    """
    values = events.columns.get(column)
    if values is None:
        return np.zeros(len(events), np.float32)
    return standardise(to_log(values) if log else values, scale)


def standardise(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """The values less the centre, over the spread, float32."""
    return ((values - scale[0]) / scale[1]).astype(np.float32)
