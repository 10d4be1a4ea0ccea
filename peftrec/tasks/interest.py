"""Kind `interest`: will the user like the item."""

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.rates import RATE_FEATURES
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.building import check_varied, cut, needed
from peftrec.tasks.events import event_column, event_examples, split_events, standardise, train_scale, with_rates
from peftrec.tasks.history_head import history_head
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.rows import ITEM, Event, liked_or_not, standardised


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Will the user like the item: label 1 where `column` (rating) >= `threshold`; with loss mse the number itself.

    The history is what the user did strictly before, with the same feedback: liked or not; for mse the number
    standardised by the train split's mean and deviation. Slot `item`; group = user.
    """
    config = task.config
    events, items = needed(tables.events, "events", task), needed(tables.items, "items", task)
    column = config.column or "rating"
    values = event_column(events, column)
    parts, notes = split_events(events, data.split, seed)
    scale = (0.0, 1.0)
    if config.threshold is not None:
        if task.loss.labels == "number":
            raise UserError(
                f"threshold: loss {config.loss} predicts the number itself; found {config.threshold}; leave it out"
            )
        label = feedback = (values >= config.threshold).astype(np.float32)
        _check_likes(label, parts, f"threshold: {column} >= {config.threshold} must hold for some rows")
    elif task.loss.labels == "liked":
        other = values[(values != 0) & (values != 1)]
        if len(other):
            raise UserError(
                f"threshold: loss {config.loss} needs it unless column {column!r} holds 0 and 1 only; found "
                f"{other[0]:g}"
            )
        label = feedback = values.astype(np.float32)
        _check_likes(label, parts, f"column: {column} must hold 0 and 1")
    else:
        check_varied(values, parts, f"column: {column} must differ between events", "value")
        scale = train_scale(values, parts)
        label, feedback = values.astype(np.float32), standardise(values, scale)
    examples = with_rates(event_examples(events, items, texts, data, label, feedback), parts)
    return cut(examples, parts, data.split, notes=notes, feature_names=RATE_FEATURES, scale=scale)


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
    reads=("column", "threshold", "class_weight", "row_weight"),
    priors=("random", "majority", "item_rate", "user_rate", "item_and_user", "rates_so_far"),
    ranking=("random", "popularity"),
    ranks=True,
    feedback=feedback,
)
