"""Kind `regression`: any number of an event, such as the seconds watched."""

from dataclasses import replace
from functools import partial

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.rates import RATE_FEATURES
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import check_varied, cut
from peftrec.tasks.events import (
    cut_events,
    event_column,
    event_examples,
    event_weights,
    listed,
    numbers_of,
    read_past,
    train_scale,
)
from peftrec.tasks.heads import Head, HeadShape, NumberHead
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, standardised, text_field
from peftrec.tasks.texts import labelled, split_texts, text_examples
from peftrec.tasks.weights import file_weights, row_weights


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Any number of an event, such as watch seconds: the label is `column` as it is. Slot `item`; group = user.

    The feedback of the history is the same column, standardised by the train split's mean and deviation.
    """
    config, (past, notes) = task.config, read_past(tables, task, data, seed)
    past = past.clicks()
    if config.column is None:
        raise UserError(f"column: kind regression needs it; the numeric columns are {listed(past.events)}")
    values, parts = event_column(past.events, config.column), past.parts
    check_varied(values, parts, f"column: {config.column} must differ between events", "value")
    scale = train_scale(values, parts)
    counted = partial(numbers_of, column=config.column, scale=scale)
    examples = event_examples(past, texts, data, values.astype(np.float32), counted, seed, rates=True)
    weight = row_weights(values, parts, [], config, event_weights(past.events, config))
    return cut_events(
        replace(examples, weight=weight), past, data, notes=notes, feature_names=RATE_FEATURES, scale=scale
    )


def build_texts(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """A number of a text, such as its price: the label is the column as it is. Slot `text`; group = row number.

    Texts without a number are left out.
    """
    name, table, column = labelled(tables, task)
    values = table.rows.numbers(column, missing=True)
    known = ~np.isnan(values)
    label = np.where(known, values, 0).astype(np.float32)
    parts, split, notes = split_texts(name, table, label, known, data, seed)
    check_varied(label, parts, f"label: {column} must differ between texts", "value")
    weight = row_weights(label, parts, [], task.config, file_weights(table.rows, task.config))
    examples = replace(text_examples(table, texts, label), weight=weight)
    return cut(examples, parts, split, notes=notes, key=data.key_of_split(name), files=table.files)


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
    reads=("history", "column", "row_weight"),
    priors=("median", "user_median", "item_rate", "rates_so_far"),
    ranks=True,
    feedback=feedback,
    variant=lambda config: None if config.label is None else OF_TEXTS,
)


def text_head(shape: HeadShape, config: TaskConfig) -> Head:
    """One linear layer over the text's vector."""
    return NumberHead(shape)


OF_TEXTS: Kind = replace(
    REGRESSION,
    question="which number does the text have",
    hub_type="text-regression",
    build=build_texts,
    fields={"text": text_field("text")},
    head=text_head,
    reads=("label", "row_weight"),
    priors=("median", "tfidf", "frozen_lr"),
    ranks=False,
    feedback=None,
)
