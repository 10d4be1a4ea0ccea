"""Kind `next-gap`: when will the user come back."""

from dataclasses import replace
from typing import Any

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.split import LEFT_OUT
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.data.views import Column, as_array
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import check_varied
from peftrec.tasks.events import cut_events, event_examples, read_past, standardise, train_scale
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, Row, all_timed

UNITS = {"d": 86_400, "h": 3600, "min": 60, "s": 1}  # seconds each
SESSION_GAP = 1800.0  # seconds without an event after which a new session begins

GAP_FEATURES = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "gap_1", "gap_2", "gap_3", "session_position"]


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """When will the user come back: label = log1p(seconds until the user's next event). Slot `item`; group = user.

    A user's last event has no label and is left out, and so is a train or valid event whose next one lies in a later
    split: its label was not known then. The feedback of the history is log1p of the gap that each event ended,
    standardised. Features: `next_gap_features`.
    """
    past, notes = read_past(tables, task, data, seed)
    past = past.clicks()
    events, time = past.events, past.events.time
    if time is None:
        raise UserError(f"table: kind next-gap asks when, and {past.name} has no times: name its column of times")
    gaps = np.diff(time, append=time[-1:])
    has_next = np.ones(len(events), bool)
    has_next[events.user_start[1:] - 1] = False
    gaps[~has_next] = 0
    label = np.log1p(gaps, out=gaps).astype(np.float32)
    parts, left_out = known_in_time(past.parts, has_next, past.split)
    check_varied(label, parts, "data.events: the times from one event of a user to the next must differ", "gap")
    notes.append(f"{int((~has_next).sum())} events left out: a user's last event has no next one")
    if left_out:
        notes.append(f"{left_out} train and valid events left out: the next event comes after their split has ended")
    scale = train_scale(_ended(events), parts)
    features = as_array(GapFeatures(time, events.user_start))

    def counted(of: Events) -> np.ndarray:
        return standardise(_ended(of), scale)

    examples = event_examples(past, texts, data, label, counted, seed, features)
    return cut_events(examples, replace(past, parts=parts), data, notes, GAP_FEATURES, scale)


def _ended(events: Events) -> np.ndarray:
    """log1p of the gap that each event ended, float64 (E,); 0 for a user's first in the table."""
    assert events.time is not None
    gaps = np.diff(events.time, prepend=events.time[:1]).clip(0)
    gaps[_first(events.user_start)] = 0
    return np.log1p(gaps, out=gaps)


class GapFeatures(Column):
    """GAP_FEATURES, float32 (E, 8), of events ordered by (user, time): user u's are user_start[u]:user_start[u+1].

    Hour of the day and weekday (UTC) as sine and cosine; log1p of the last three gaps in seconds, newest first, 0 where
    there is none; log of the event's place in its session (from 1; a session ends after 30 minutes without an event).
    """

    def __init__(self, time: np.ndarray, user_start: np.ndarray) -> None:
        super().__init__((len(time), len(GAP_FEATURES)), np.float32)
        self.time, first = time, _first(user_start)
        self.place = _places(len(time), first)  # int32 (E,): among the user's events, from 0
        begins = np.diff(time, prepend=time[:1]) > SESSION_GAP
        begins[first] = True
        self.in_session = _places(len(time), np.flatnonzero(begins))

    def rows(self, index: Any) -> Any:
        """Computed."""
        index = np.arange(len(self))[index] if isinstance(index, slice) else index
        time = self.time[index]
        day, week = 2 * np.pi * (time % 86_400) / 86_400, 2 * np.pi * (time // 86_400 % 7) / 7
        gaps = [
            np.log1p((self.time[(index - k).clip(0)] - self.time[(index - k - 1).clip(0)]).clip(0))
            * (self.place[index] > k)
            for k in range(3)
        ]
        columns = [np.sin(day), np.cos(day), np.sin(week), np.cos(week), *gaps, np.log(self.in_session[index] + 1)]
        return np.stack(columns, axis=1).astype(np.float32)


def next_gap_features(time: np.ndarray, user_start: np.ndarray) -> np.ndarray:
    """All of GapFeatures."""
    return np.asarray(GapFeatures(time, user_start))


def _first(user_start: np.ndarray) -> np.ndarray:
    """Each user's first event, of those who have any."""
    found: np.ndarray = user_start[:-1][np.diff(user_start) > 0]
    return found


def _places(count: int, first: np.ndarray) -> np.ndarray:
    """How far each of `count` events is from the last of `first` (ascending, from 0) that is no later, int32."""
    begin = np.zeros(count, np.int32)
    begin[first] = first
    found: np.ndarray = np.arange(count, dtype=np.int32) - np.maximum.accumulate(begin)
    return found


def known_in_time(parts: np.ndarray, has_next: np.ndarray, split: SplitConfig) -> tuple[np.ndarray, int]:
    """The split of next-gap examples, and how many are left out because their label becomes known in a later split."""
    following = np.append(parts[1:], parts[-1:])
    if split.kind == "leave-last-out":
        # The held-out event is the one to predict: the example belongs where its next event does.
        return np.where(has_next & (parts != LEFT_OUT), following, LEFT_OUT), 0
    late = has_next & (following > parts)
    return np.where(has_next & ~late, parts, LEFT_OUT), int(late.sum())


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """The gap that each event ended, as in training; whatever value it brings is not read."""
    if not all_timed(events):
        raise UserError("every event of 'history' needs its 'time'")
    times = np.array([event.time for event in events])
    centre, spread = scale
    return (np.log1p(np.diff(times, prepend=times[:1])) - centre) / spread


def answer(prediction: np.ndarray, task: Task, classes: list[str]) -> Row:
    """{"value", "seconds"}."""
    return {**number_answer(prediction, task, classes), "seconds": float(np.expm1(prediction))}


def words(label: float, task: Task, classes: list[str]) -> str:
    """After how long, such as 'after 2 d 3 h'."""
    seconds, said = float(np.expm1(label)), []
    # The label has 32 bits, which hold a month to a few seconds: no more is said than two units.
    finest = 3600 if seconds >= 86_400 else 60 if seconds >= 3600 else 1
    left = max(0, round(seconds / finest)) * finest
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        said += [f"{count:,} {unit}"] if count else []
    return f"after {' '.join(said) or '0 s'}"


NEXT_GAP = Kind(
    question="when will the user come back, in log1p(seconds)",
    hub_type="tabular-regression",
    build=build,
    fields={"item": ITEM},
    head=history_head,
    losses=("mae", "mse"),
    metrics={"number": ("mae", "rmse", "r2")},
    answer=answer,
    reads=("history",),
    priors=("median", "user_median"),
    feedback=feedback,
    words=words,
    moment=next_gap_features,
)
