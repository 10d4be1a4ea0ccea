"""What the kinds on events share: an example is an event and its past, split by time, with standardised feedback."""

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.log import Log
from peftrec.data.rates import Rates
from peftrec.data.split import TRAIN, by_group, by_time, leave_last_out, time_boundaries
from peftrec.data.tables import Events, Items
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import item_rows


def with_rates(examples: Examples, parts: np.ndarray) -> Examples:
    """The examples with how their items and users were received before; the base is the train rows' mean feedback."""
    assert examples.log is not None
    train = examples.log.feedback[parts == TRAIN]
    return examples.with_rates(Rates(examples.log, float(train.mean()) if len(train) else 0.0))


def event_examples(
    events: Events,
    items: Items,
    texts: TextTable,
    data: DataConfig,
    label: np.ndarray,
    feedback: np.ndarray,
    features: np.ndarray | None = None,
) -> Examples:
    """Every event as an example, its history before it. `label`, `feedback` (E,), `features` (E, F)."""
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


def split_events(events: Events, split: SplitConfig, seed: int) -> tuple[np.ndarray, list[str]]:
    """The part int8 (E,) of every event, and what the user should know of it. Raises UserError."""
    if split.kind == "global-time":
        return by_time(events.time, time_boundaries(events.time, split)), []
    if split.kind == "leave-last-out":
        note = "leave-last-out leaks: training sees other users' events from after a held-out event; prefer global-time"
        return leave_last_out(events.user_start, split.valid > 0), [note]
    if split.kind == "by-group":
        note = "by-group holds out whole users; training sees events from after a held-out one; prefer global-time"
        return by_group(events.user, split, seed), [note]
    raise UserError("data.split.kind: 'given' is for labelled texts with a split column; events take global-time")


def event_column(events: Events, name: str) -> np.ndarray:
    """A numeric column of the events. Raises UserError naming those they have."""
    if name not in events.columns:
        raise UserError(
            f"column: the events have no numeric column {name!r}; they have {listed(events)} (data.events.columns)"
        )
    return events.columns[name]


def listed(events: Events) -> str:
    """The names of the numeric columns."""
    return ", ".join(events.columns) or "none"


def train_scale(values: np.ndarray, parts: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the train rows, by which feedback is standardised; (0, 1) without train rows."""
    train = values[parts == TRAIN]
    return (float(train.mean()), float(train.std()) or 1.0) if len(train) else (0.0, 1.0)


def standardise(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """The values less the centre, over the spread, float32."""
    return ((values - scale[0]) / scale[1]).astype(np.float32)
