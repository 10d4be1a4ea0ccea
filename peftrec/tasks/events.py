"""Builders of the tasks on events: interest, next-item, next-gap, regression. An example is an event and its past."""

from dataclasses import replace

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.examples import Examples, TaskData
from peftrec.data.log import Log
from peftrec.data.rates import RATE_FEATURES, Rates
from peftrec.data.split import LEFT_OUT, TRAIN, by_group, by_time, leave_last_out, time_boundaries
from peftrec.data.tables import Events, Items, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig, TaskConfig
from peftrec.tasks.building import check_varied, cut, item_rows, needed, refuse_unread

SESSION_GAP = 1800.0  # seconds without an event after which a new session begins

GAP_FEATURES = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "gap_1", "gap_2", "gap_3", "session_position"]


def interest(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """Will the user like the item: label 1 where `column` (rating) >= `threshold`; with loss mse the number itself.

    The history is what the user did strictly before, with the same feedback: liked or not; for mse the number
    standardised by the train split's mean and deviation. Slot `item`; group = user.
    """
    refuse_unread(task, ("column", "threshold"))
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    values = _column(events, task.column or "rating")
    parts, notes = _split(events, data.split, seed)
    scale = (0.0, 1.0)
    if task.threshold is not None:
        if task.loss == "mse":
            raise UserError(f"threshold: loss mse predicts the number itself; found {task.threshold}; leave it out")
        label = feedback = (values >= task.threshold).astype(np.float32)
        check_varied(label, parts, f"threshold: {task.column or 'rating'} >= {task.threshold} must hold for some rows")
    elif task.loss in (None, "bce"):
        other = values[(values != 0) & (values != 1)]
        if len(other):
            raise UserError(
                f"threshold: loss bce needs it unless column {task.column or 'rating'!r} holds 0 and 1 only; found "
                f"{other[0]:g}"
            )
        label = feedback = values.astype(np.float32)
        check_varied(label, parts, f"column: {task.column or 'rating'} must hold 0 and 1")
    else:
        check_varied(values, parts, f"column: {task.column or 'rating'} must differ between events", "value")
        scale = _scale(values, parts)
        label, feedback = values.astype(np.float32), _standardised(values, scale)
    examples = _with_rates(_examples(events, items, texts, data, label, feedback), parts)
    return cut(examples, parts, data.split, notes=notes, feature_names=RATE_FEATURES, scale=scale)


def next_item(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """Which item of the catalogue comes next: every event is an example, with label 1; slot `item`; group = user.

    With `threshold` only events with `column` (rating) >= `threshold` are, and the history's feedback says which of its
    events were such. Without it all feedback is 1.
    """
    refuse_unread(task, ("column", "threshold"))
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    if task.column is not None and task.threshold is None:
        raise UserError(f"column: kind next-item reads it only with a threshold; found {task.column!r}")
    chosen = np.ones(len(events), bool)
    if task.threshold is not None:
        column = task.column or "rating"
        chosen = _column(events, column) >= task.threshold
        if not chosen.any():
            raise UserError(f"threshold: no event has {column} >= {task.threshold:g}")
    parts, notes = _split(events, data.split, seed)
    parts = np.where(chosen, parts, LEFT_OUT)
    if not chosen.all():
        notes.append(f"{int((~chosen).sum()):,} events are below the threshold: in histories, but not to be found")
    examples = _examples(events, items, texts, data, np.ones(len(events), np.float32), chosen.astype(np.float32))
    catalogue = Catalogue(item_rows(items, texts), events.item[chosen], events.time[chosen])
    return cut(replace(examples, catalogue=catalogue), parts, data.split, notes=notes)


def regression(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """Any number of an event, such as watch seconds: the label is `column` as it is. Slot `item`; group = user.

    The feedback of the history is the same column, standardised by the train split's mean and deviation.
    """
    refuse_unread(task, ("column",))
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    if task.column is None:
        raise UserError(f"column: kind regression needs it; the numeric columns are {_list(events)}")
    values = _column(events, task.column)
    parts, notes = _split(events, data.split, seed)
    check_varied(values, parts, f"column: {task.column} must differ between events", "value")
    scale = _scale(values, parts)
    examples = _examples(events, items, texts, data, values.astype(np.float32), _standardised(values, scale))
    examples = _with_rates(examples, parts)
    return cut(examples, parts, data.split, notes=notes, feature_names=RATE_FEATURES, scale=scale)


def next_gap(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """When will the user come back: label = log1p(seconds until the user's next event). Slot `item`; group = user.

    A user's last event has no label and is left out, and so is a train or valid event whose next one lies in a later
    split: its label was not known then. The feedback of the history is log1p of the gap that each event ended,
    standardised. Features: `next_gap_features`.
    """
    refuse_unread(task, ())
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    gaps = np.diff(events.time, append=events.time[-1:])
    has_next = np.ones(len(events), bool)
    has_next[events.user_start[1:] - 1] = False
    label = np.log1p(np.where(has_next, gaps, 0)).astype(np.float32)
    parts, notes = _split(events, data.split, seed)
    parts, left_out = _known_in_time(parts, has_next, data.split)
    check_varied(label, parts, "data.events: the times from one event of a user to the next must differ", "gap")
    notes.append(f"{int((~has_next).sum())} events left out: a user's last event has no next one")
    if left_out:
        notes.append(f"{left_out} train and valid events left out: the next event comes after their split has ended")
    ended = _past_gaps(events.time, events.user_start, 1)[:, 0]
    scale = _scale(ended, parts)
    examples = _examples(
        events,
        items,
        texts,
        data,
        label,
        _standardised(ended, scale),
        next_gap_features(events.time, events.user_start),
    )
    return cut(examples, parts, data.split, notes=notes, feature_names=GAP_FEATURES, scale=scale)


def next_gap_features(time: np.ndarray, user_start: np.ndarray) -> np.ndarray:
    """GAP_FEATURES, float32 (E, 8), of events ordered by (user, time): user u's are user_start[u]:user_start[u+1].

    Hour of the day and weekday (UTC) as sine and cosine; log1p of the last three gaps in seconds, newest first, 0 where
    there is none; log of the event's place in its session (from 1; a session ends after 30 minutes without an event).
    """
    day, week = 2 * np.pi * (time % 86_400) / 86_400, 2 * np.pi * (time // 86_400 % 7) / 7
    gaps = _past_gaps(time, user_start, 3)
    index = np.arange(len(time))
    first = np.zeros(len(time), bool)
    first[user_start[:-1][np.diff(user_start) > 0]] = True
    begins = first | (np.diff(time, prepend=time[:1]) > SESSION_GAP)
    place = index - np.maximum.accumulate(np.where(begins, index, 0)) + 1
    columns = [np.sin(day), np.cos(day), np.sin(week), np.cos(week), *gaps.T, np.log(place)]
    return np.stack(columns, axis=1).astype(np.float32)


def _past_gaps(time: np.ndarray, user_start: np.ndarray, count: int) -> np.ndarray:
    """float64 (E, count): log1p of the last gaps between a user's events, newest first; 0 where there is none."""
    begin = np.repeat(user_start[:-1], np.diff(user_start))
    gaps = np.log1p(np.diff(time, prepend=time[:1]).clip(0))
    index = np.arange(len(time))
    # Gap k of event i lies between events i - k - 1 and i - k, both of which must be the user's.
    return np.stack([np.where(index - k > begin, gaps[(index - k).clip(0)], 0) for k in range(count)], axis=1)


def _with_rates(examples: Examples, parts: np.ndarray) -> Examples:
    """The examples with how their items and users were received before; the base is the train rows' mean feedback."""
    assert examples.log is not None
    train = examples.log.feedback[parts == TRAIN]
    return examples.with_rates(Rates(examples.log, float(train.mean()) if len(train) else 0.0))


def _examples(
    events: Events,
    items: Items,
    texts: TextTable,
    data: DataConfig,
    label: np.ndarray,
    feedback: np.ndarray,
    features: np.ndarray | None = None,
) -> Examples:
    rows = item_rows(items, texts)[events.item]
    start, stop = causal_windows(events.time, events.user_start, data.history)
    return Examples(
        slots={"item": rows},
        label=label,
        features=np.zeros((len(events), 0), np.float32) if features is None else features,
        group=events.user.astype(np.int64),
        item=events.item.astype(np.int64),
        time=events.time,
        log=Log(rows, events.item, events.time, events.user_start, feedback),
        start=start,
        stop=stop,
    )


def causal_windows(time: np.ndarray, user_start: np.ndarray, history: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows int64 (E,), (E,) of each event's history: the user's last `history` events strictly before its time."""
    index = np.arange(len(time))
    begin = np.repeat(user_start[:-1], np.diff(user_start))
    new_moment = (index == begin) | (np.diff(time, prepend=np.nan) != 0)
    stop = np.maximum.accumulate(np.where(new_moment, index, 0))  # the first event of the same user and time
    return np.maximum(begin, stop - history), stop


def _split(events: Events, split: SplitConfig, seed: int) -> tuple[np.ndarray, list[str]]:
    if split.kind == "global-time":
        return by_time(events.time, time_boundaries(events.time, split)), []
    if split.kind == "leave-last-out":
        note = "leave-last-out leaks: training sees other users' events from after a held-out event; prefer global-time"
        return leave_last_out(events.user_start, split.valid > 0), [note]
    if split.kind == "by-group":
        note = "by-group holds out whole users; training sees events from after a held-out one; prefer global-time"
        return by_group(events.user, split, seed), [note]
    raise UserError("data.split.kind: 'given' is for labelled texts with a split column; events take global-time")


def _known_in_time(parts: np.ndarray, has_next: np.ndarray, split: SplitConfig) -> tuple[np.ndarray, int]:
    """The split of next-gap examples, and how many are left out because their label becomes known in a later split."""
    following = np.append(parts[1:], parts[-1:])
    if split.kind == "leave-last-out":
        # The held-out event is the one to predict: the example belongs where its next event does.
        return np.where(has_next, following, LEFT_OUT), 0
    late = has_next & (following > parts)
    return np.where(has_next & ~late, parts, LEFT_OUT), int(late.sum())


def _column(events: Events, name: str) -> np.ndarray:
    if name not in events.columns:
        raise UserError(
            f"column: the events have no numeric column {name!r}; they have {_list(events)} (data.events.columns)"
        )
    return events.columns[name]


def _list(events: Events) -> str:
    return ", ".join(events.columns) or "none"


def _scale(values: np.ndarray, parts: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the train rows, by which feedback is standardised; (0, 1) without train rows."""
    train = values[parts == TRAIN]
    return (float(train.mean()), float(train.std()) or 1.0) if len(train) else (0.0, 1.0)


def _standardised(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    return ((values - scale[0]) / scale[1]).astype(np.float32)
