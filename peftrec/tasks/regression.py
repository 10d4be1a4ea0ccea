"""Kind `regression`: any number of an event, such as the seconds watched."""

from dataclasses import replace
from functools import partial

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.rates import RATE_FEATURES
from peftrec.data.scales import heavy_tails, levels_of, to_log
from peftrec.data.split import TRAIN
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
    known_later,
    listed,
    numbers_of,
    read_past,
    train_scale,
)
from peftrec.tasks.heads import Head, HeadShape, NumberHead
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, standardised, text_field
from peftrec.tasks.starts.numbers import NUMBERS
from peftrec.tasks.starts.texts import TEXTS
from peftrec.tasks.texts import labelled, split_texts, text_examples
from peftrec.tasks.weights import file_weights, row_weights


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Any number of an event, such as watch seconds: the label is `column` as it is. Slot `item`; group = user.

    The feedback of the history is the same column, standardised by the train split's mean and deviation; where
    tails are heavy both are learnt on a log scale.
    """
    config, (past, notes) = task.config, read_past(tables, task, data, seed)
    past = past.clicks()
    if config.column is None:
        raise UserError(f"column: kind regression needs it; the numeric columns are {listed(past.events)}")
    values, parts = event_column(past.events, config.column), past.parts
    check_varied(values, parts, f"column: {config.column} must differ between events", "value")
    log, levels, said = chosen_scale(values, parts, task)
    scale = train_scale(to_log(values) if log else values, parts)
    counted = partial(numbers_of, column=config.column, scale=scale, log=log)
    label = values.astype(np.float32)
    made = partial(event_examples, texts=texts, data=data, label=label, counted=counted, seed=seed, rates=True)
    weight = row_weights(values, parts, [], config, event_weights(past.events, config))
    notes += said
    examples, later = replace(made(past), weight=weight), known_later(past, made)
    built = cut_events(examples, past, data, notes=notes, feature_names=RATE_FEATURES, scale=scale, later=later)
    return replace(built, log_scale=log, levels=levels)


def chosen_scale(values: np.ndarray, parts: np.ndarray, task: Task) -> tuple[bool, tuple[float, ...], list[str]]:
    """Whether labels are learnt on a log scale: as the recipe says, or by the tails of the train rows; the levels that
    these are of, where the loss asks for a median, which is one of them; and notes.

    Raises UserError for a loss that no scale but the labels' own is right for: the mean, unlike the median, is another
    on each.
    """
    wanted, loss = task.config.scale, task.config.loss
    if loss != "mae":
        if wanted == "log":
            raise UserError(f"scale: log is for loss mae, whose medians are the same on every scale; found loss {loss}")
        return False, (), []
    train, notes = values[parts == TRAIN], []
    levels = levels_of(train)
    log = wanted == "log" or (wanted is None and not levels and heavy_tails(train))
    if log and wanted is None:
        notes.append(
            "labels with heavy tails, learnt on a log scale (scale: linear takes them as they are); predictions and "
            "metrics are in units of the labels"
        )
    if levels:
        notes.append(
            f"labels are of {len(levels)} numbers, near which predictions are drawn, as an absolute error asks for "
            "(loss: mse predicts means)"
        )
    return log, levels, notes


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
    log, levels, said = chosen_scale(values, parts, task)
    notes += said
    built = cut(examples, parts, split, notes=notes, key=data.key_of_split(name), files=table.files)
    return replace(built, log_scale=log, levels=levels)


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """On the scale of the train rows."""
    log = task.config.scale == "log"
    known = [replace(of, value=float(to_log(of.value))) if log and of.value is not None else of for of in events]
    return np.array(standardised(known, scale))


REGRESSION = Kind(
    question="which number will the user's event with the item have",
    hub_type="tabular-regression",
    build=build,
    fields={"item": ITEM},
    head=history_head,
    losses=("mae", "mse"),
    metrics={"number": ("mae", "rmse", "r2")},
    answer=number_answer,
    reads=("history", "column", "row_weight", "scale"),
    priors=("median", "user_median", "item_rate", "rates_so_far", "boosted"),
    start=NUMBERS,
    ranks=True,
    feedback=feedback,
    variant=lambda config, data: None if config.label is None else OF_TEXTS,
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
    reads=("label", "row_weight", "scale"),
    priors=("median", "tfidf", "frozen_lr", "layers_lr", "other_tasks"),
    start=TEXTS,
    ranks=False,
    feedback=None,
)
