"""Kind `regression`: any number of an event, such as the seconds watched."""

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.rates import RATE_FEATURES
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.building import check_varied, cut, needed
from peftrec.tasks.events import (
    event_column,
    event_examples,
    listed,
    split_events,
    standardise,
    train_scale,
    with_rates,
)
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, standardised


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Any number of an event, such as watch seconds: the label is `column` as it is. Slot `item`; group = user.

    The feedback of the history is the same column, standardised by the train split's mean and deviation.
    """
    config = task.config
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    if config.column is None:
        raise UserError(f"column: kind regression needs it; the numeric columns are {listed(events)}")
    values = event_column(events, config.column)
    parts, notes = split_events(events, data.split, seed)
    check_varied(values, parts, f"column: {config.column} must differ between events", "value")
    scale = train_scale(values, parts)
    examples = event_examples(events, items, texts, data, values.astype(np.float32), standardise(values, scale))
    examples = with_rates(examples, parts)
    return cut(examples, parts, data.split, notes=notes, feature_names=RATE_FEATURES, scale=scale)


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """On the scale of the train rows."""
    return np.array(standardised(events, scale))


REGRESSION = Kind(
    question="which number will the user's event with the item have",
    hub_type="tabular-regression",
    build=build,
    fields={"item": ITEM},
    head=history_head,
    losses=("mae", "mse"),
    metrics={"number": ("mae", "rmse", "r2")},
    answer=number_answer,
    reads=("column", "row_weight"),
    priors=("median", "user_median", "item_rate", "rates_so_far"),
    ranks=True,
    feedback=feedback,
)
