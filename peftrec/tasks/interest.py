"""Kind `interest`: will the user like the item."""

from dataclasses import replace
from functools import partial

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.rates import RATE_FEATURES
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.building import check_varied
from peftrec.tasks.events import (
    cut_events,
    event_column,
    event_examples,
    event_weights,
    known_later,
    numbers_of,
    read_past,
    train_scale,
)
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.repeats import rule_repeats
from peftrec.tasks.rows import ITEM, Event, liked_or_not, standardised
from peftrec.tasks.starts.events import EVENTS
from peftrec.tasks.weights import row_weights


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Will the user like the item: label 1 where `column` (rating) >= `threshold`; with loss mse the number itself.

    Where the table says what was clicked of what was shown, that is the column, unless the task names another. The
    history is what the user did strictly before, with the same feedback: liked or not; for mse the number standardised
    by the train split's mean and deviation. Slot `item`; group = user, or the list that a row was shown in.
    """
    config, (past, notes) = task.config, read_past(tables, task, data, seed)
    column, events = config.column or past.events.clicked or "rating", past.events
    values, parts = event_column(past.events, column), past.parts
    scale = (0.0, 1.0)
    if config.threshold is not None:
        if task.loss.labels == "number":
            raise UserError(
                f"threshold: loss {config.loss} predicts the number itself; found {config.threshold}; leave it out"
            )
        label = (values >= config.threshold).astype(np.float32)
        _check_likes(label, parts, f"threshold: {column} >= {config.threshold} must hold for some rows")
    elif task.loss.labels == "liked":
        other = values[(values != 0) & (values != 1)]
        if len(other):
            raise UserError(
                f"threshold: loss {config.loss} needs it unless column {column!r} holds 0 and 1 only; found "
                f"{other[0]:g}"
            )
        label = values.astype(np.float32)
        _check_likes(label, parts, f"column: {column} must hold 0 and 1")
    else:
        check_varied(values, parts, f"column: {column} must differ between events", "value")
        scale = train_scale(values, parts)
        label = values.astype(np.float32)
    counted = partial(_counted, column=column, task=task, scale=scale)
    made = partial(event_examples, texts=texts, data=data, label=label, counted=counted, seed=seed, rates=True)
    examples = made(past)
    if events.impression is not None:
        examples = replace(examples, group=events.impression, user=examples.users)
        notes += _notes_of_lists(events)
    positive = label > 0 if task.loss.of_likes else np.ones(len(label), bool)
    examples, _, said = rule_repeats(examples, parts, positive, config)
    notes += said
    classes = ["0", "1"] if task.loss.labels == "liked" else []
    weight = row_weights(label, parts, classes, config, event_weights(events, config))
    examples = replace(examples, weight=weight)
    later = known_later(past, made)
    built = cut_events(examples, past, data, notes=notes, feature_names=RATE_FEATURES, scale=scale, later=later)
    hides = [name for name, of in past.history.items() if of.hides]
    return replace(built, impressions=events.impression is not None, hides=hides)


def _notes_of_lists(events: Events) -> list[str]:
    """How many lists were shown, and what stands in none."""
    assert events.impression is not None
    inside = events.impression >= 0
    lists, clicked = len(np.unique(events.impression[inside])), int(events.chosen[inside].sum())
    notes = [f"{lists:,} lists were shown, of {int(inside.sum()):,} items, {clicked:,} of them clicked"]
    if outside := int((~inside).sum()):
        notes.append(f"{outside:,} events stand in no list: they are part of histories, and not trained or tested")
    return notes


def _counted(events: Events, column: str, task: Task, scale: tuple[float, float]) -> np.ndarray:
    """The feedback (E,) of a table's events; those without the column count as liked where clicked, or as average."""
    if not task.loss.of_likes:
        return numbers_of(events, column, scale)
    values = events.columns.get(column)
    if values is None:
        return events.chosen
    return values >= (1 if task.config.threshold is None else task.config.threshold)


def _check_likes(label: np.ndarray, parts: np.ndarray, rule: str) -> None:
    """Raise UserError when the train rows are all liked or all not; of all liked, name the kind that learns of them."""
    try:
        check_varied(label, parts, rule)
    except UserError as error:
        liked = "; where all that happened was liked, kind next-item learns which item is chosen" if label.any() else ""
        raise UserError(f"{error}{liked}") from None


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """Liked or not; for numbers on the scale of the train rows."""
    known = liked_or_not(events, task.config.threshold) if task.loss.of_likes else standardised(events, scale)
    return np.array(known)


INTEREST = Kind(
    question="will the user like the item",
    hub_type="text-ranking",
    build=build,
    fields={"item": ITEM},
    head=history_head,
    losses=("bce", "mse"),
    metrics={"liked": ("auc", "gauc", "log_loss", "ece"), "number": ("mae", "rmse", "r2")},
    answer=number_answer,
    reads=("history", "column", "threshold", "repeats", "class_weight", "row_weight"),
    priors=("random", "majority", "item_rate", "user_rate", "item_and_user", "rates_so_far"),
    ranking=("random", "popularity"),
    start=EVENTS,
    ranks=True,
    feedback=feedback,
)
