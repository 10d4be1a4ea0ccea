"""Kind `next-gap`: when will the user come back."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.split import LEFT_OUT, leave_last_out
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.data.views import Column, Gathered, as_array
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import check_varied
from peftrec.tasks.columns import median_of_each
from peftrec.tasks.events import cut_events, event_examples, read_past, standardise, train_scale
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, Row, all_timed
from peftrec.tasks.starts.numbers import NUMBERS

UNITS = {"d": 86_400, "h": 3600, "min": 60, "s": 1}  # seconds each
SESSION_GAP = 1800.0  # seconds without an event after which a new session begins

RECENT = 20  # gaps of which a user's median is taken

# Runs of before the last two were added have those before them.
GAP_FEATURES = [
    *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "gap_1", "gap_2", "gap_3", "session_position"),
    *("gap_median", "gap_count"),
]


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """When will the user come back: label = log1p(seconds until the user's next moment). Slot `item`; group = user.

    What a user does at one time is one moment and one example, that of its last event in the order of the file: an
    order of 20 lines counts once. A user's last moment has no label and is left out. An example is of the part in which
    its gap ends, when its label is known: of those that begin and end in the few days of one part, the long ones are
    missing. The feedback of the history is log1p of the gap that each event's moment ended, standardised. Features:
    `next_gap_features`.
    """
    past, notes = read_past(tables, task, data, seed)
    past = past.clicks()
    events, time = past.events, past.events.time
    if time is None:
        raise UserError(f"table: kind next-gap asks when, and {past.name} has no times: name its column of times")
    moments = moments_of(time, events.user_start)
    gaps, has_next = np.diff(moments.time, append=moments.time[-1:]), np.ones(len(moments.time), bool)
    has_next[moments.user_start[1:][np.diff(moments.user_start) > 0] - 1] = False
    gaps[~has_next] = 0
    label = np.log1p(gaps, out=gaps).astype(np.float32)
    parts = where_known(past.parts[moments.last], moments, has_next, past.split)
    check_varied(label, parts, "data.events: the times from one moment of a user to the next must differ", "gap")
    notes.append(f"{int((~has_next).sum()):,} moments left out: a user's last one has no next")
    notes += _notes_of_moments(len(events), len(moments.time))
    whole = np.full(len(events), LEFT_OUT, np.int8)
    whole[moments.last] = parts
    scale = train_scale(_ended(moments), parts)
    features = as_array(Gathered(as_array(GapFeatures(moments)), moments.of))

    def counted(of: Events) -> np.ndarray:
        assert of.time is not None
        own = moments_of(of.time, of.user_start)
        return standardise(_ended(own), scale)[own.of]

    examples = event_examples(past, texts, data, label[moments.of], counted, seed, features)
    return cut_events(examples, replace(past, parts=whole), data, notes, GAP_FEATURES, scale)


def _notes_of_moments(events: int, moments: int) -> list[str]:
    """How many events a moment has; nothing where each has its own."""
    if moments == events:
        return []
    return [
        f"{(events - moments) / events:.0%} of {events:,} events happened at one time with their user's event before, "
        f"with no gap between: all are {moments:,} moments, an example each, whose gap is that to the next moment"
    ]


@dataclass(frozen=True)
class Moments:
    """When users did something: M different times, ordered by (user, time), of E events.

    time        float64 (M,)
    user_start  int64 (users + 1,): user u's moments are [user_start[u]:user_start[u + 1]]
    of          int64 (E,): the moment of each event
    last        int64 (M,): the last event of each moment
    """

    time: np.ndarray
    user_start: np.ndarray
    of: np.ndarray
    last: np.ndarray


def moments_of(time: np.ndarray, user_start: np.ndarray) -> Moments:
    """The moments of events at `time` (E,), ordered by (user, time): user u's are user_start[u]:user_start[u + 1]."""
    begins = np.diff(time, prepend=time[:1]) != 0
    begins[_first(user_start)] = True
    before = np.append(0, np.cumsum(begins))  # (E + 1,): moments that begin before each event
    begin = np.flatnonzero(begins)
    return Moments(time[begin], before[user_start], before[1:] - 1, np.append(begin[1:], len(time)) - 1)


def _ended(moments: Moments) -> np.ndarray:
    """log1p of the gap that each moment ended, float64 (M,); 0 for a user's first."""
    gaps = np.diff(moments.time, prepend=moments.time[:1]).clip(0)
    gaps[_first(moments.user_start)] = 0
    return np.log1p(gaps, out=gaps)


class GapFeatures(Column):
    """GAP_FEATURES, float32 (M, 10), of moments.

    Hour of the day and weekday (UTC) as sine and cosine; log1p of the last three gaps in seconds, newest first, 0 where
    there is none; log of the moment's place in its session (from 1; a session ends after 30 minutes without one); the
    median of log1p of the last 20 gaps, 0 without any; log1p of how many there were.
    """

    def __init__(self, moments: Moments) -> None:
        super().__init__((len(moments.time), len(GAP_FEATURES)), np.float32)
        self.time, first = moments.time, _first(moments.user_start)
        self.place = _places(len(self), first)  # int32 (M,): among the user's moments, from 0
        begins = np.diff(self.time, prepend=self.time[:1]) > SESSION_GAP
        begins[first] = True
        self.in_session = _places(len(self), np.flatnonzero(begins))

    def rows(self, index: Any) -> Any:
        """Computed."""
        index = np.arange(len(self))[index] if isinstance(index, slice) else index
        time = self.time[index]
        day, week = 2 * np.pi * (time % 86_400) / 86_400, 2 * np.pi * (time // 86_400 % 7) / 7
        place, back = self.place[index], index[:, None] - np.arange(RECENT + 1)  # (N, 21)
        gaps = np.log1p(-np.diff(self.time[back.clip(0)], axis=1).clip(max=0))
        gaps[place[:, None] <= np.arange(RECENT)] = np.nan
        columns = [np.sin(day), np.cos(day), np.sin(week), np.cos(week), *np.nan_to_num(gaps[:, :3]).T]
        columns += [np.log(self.in_session[index] + 1), median_of_each(gaps), np.log1p(place)]
        return np.stack(columns, axis=1).astype(np.float32)


def next_gap_features(time: np.ndarray, user_start: np.ndarray) -> np.ndarray:
    """GapFeatures of the moment of every event, float32 (E, 10)."""
    moments = moments_of(time, user_start)
    return np.asarray(GapFeatures(moments))[moments.of]


def _first(user_start: np.ndarray) -> np.ndarray:
    """Each user's first event or moment, of those who have any."""
    found: np.ndarray = user_start[:-1][np.diff(user_start) > 0]
    return found


def _places(count: int, first: np.ndarray) -> np.ndarray:
    """How far each of `count` moments is from the last of `first` (ascending, from 0) that is no later, int32."""
    begin = np.zeros(count, np.int32)
    begin[first] = first
    found: np.ndarray = np.arange(count, dtype=np.int32) - np.maximum.accumulate(begin)
    return found


def where_known(parts: np.ndarray, moments: Moments, has_next: np.ndarray, split: SplitConfig) -> np.ndarray:
    """The part int8 (M,) of next-gap examples, by that of their moments' last events: the later one of those that begin
    and end the gap."""
    if split.kind == "leave-last-out":
        parts = leave_last_out(moments.user_start, split.valid > 0)  # of whole moments
    found: np.ndarray = np.maximum(parts, np.append(parts[1:], parts[-1:]))
    return np.where(has_next, found, np.int8(LEFT_OUT))


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """The gap that each event's moment ended, as in training; whatever value it brings is not read."""
    if not all_timed(events):
        raise UserError("every event of 'history' needs its 'time'")
    moments = moments_of(np.array([event.time for event in events]), np.array([0, len(events)]))
    centre, spread = scale
    return ((_ended(moments) - centre) / spread)[moments.of]


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
    priors=("median", "user_median", "boosted"),
    start=NUMBERS,
    feedback=feedback,
    words=words,
    moment=next_gap_features,
)
