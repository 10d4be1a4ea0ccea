"""Kind `next-gap`: when will the user come back."""

from dataclasses import replace

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.split import LEFT_OUT
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import check_varied
from peftrec.tasks.events import cut_events, event_examples, read_past, standardise, train_scale
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, Row, all_timed

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
    label = np.log1p(np.where(has_next, gaps, 0)).astype(np.float32)
    parts, left_out = known_in_time(past.parts, has_next, past.split)
    check_varied(label, parts, "data.events: the times from one event of a user to the next must differ", "gap")
    notes.append(f"{int((~has_next).sum())} events left out: a user's last event has no next one")
    if left_out:
        notes.append(f"{left_out} train and valid events left out: the next event comes after their split has ended")
    scale = train_scale(_ended(events), parts)
    features = next_gap_features(time, events.user_start)

    def counted(of: Events) -> np.ndarray:
        return standardise(_ended(of), scale)

    examples = event_examples(past, texts, data, label, counted, seed, features)
    return cut_events(examples, replace(past, parts=parts), data, notes, GAP_FEATURES, scale)


def _ended(events: Events) -> np.ndarray:
    """log1p of the gap that each event ended, float64 (E,); 0 for a user's first in the table."""
    assert events.time is not None
    return past_gaps(events.time, events.user_start, 1)[:, 0]


def next_gap_features(time: np.ndarray, user_start: np.ndarray) -> np.ndarray:
    """GAP_FEATURES, float32 (E, 8), of events ordered by (user, time): user u's are user_start[u]:user_start[u+1].

    Hour of the day and weekday (UTC) as sine and cosine; log1p of the last three gaps in seconds, newest first, 0 where
    there is none; log of the event's place in its session (from 1; a session ends after 30 minutes without an event).
    """
    day, week = 2 * np.pi * (time % 86_400) / 86_400, 2 * np.pi * (time // 86_400 % 7) / 7
    gaps = past_gaps(time, user_start, 3)
    index = np.arange(len(time))
    first = np.zeros(len(time), bool)
    first[user_start[:-1][np.diff(user_start) > 0]] = True
    begins = first | (np.diff(time, prepend=time[:1]) > SESSION_GAP)
    place = index - np.maximum.accumulate(np.where(begins, index, 0)) + 1
    columns = [np.sin(day), np.cos(day), np.sin(week), np.cos(week), *gaps.T, np.log(place)]
    return np.stack(columns, axis=1).astype(np.float32)


def past_gaps(time: np.ndarray, user_start: np.ndarray, count: int) -> np.ndarray:
    """float64 (E, count): log1p of the last gaps between a user's events, newest first; 0 where there is none."""
    begin = np.repeat(user_start[:-1], np.diff(user_start))
    gaps = np.log1p(np.diff(time, prepend=time[:1]).clip(0))
    index = np.arange(len(time))
    # Gap k of event i lies between events i - k - 1 and i - k, both of which must be the user's.
    return np.stack([np.where(index - k > begin, gaps[(index - k).clip(0)], 0) for k in range(count)], axis=1)


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
    moment=next_gap_features,
)
