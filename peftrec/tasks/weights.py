"""Row weights: how much each row counts in its task's loss, from its class and from a column of its table."""

from collections.abc import Sequence

import numpy as np

from peftrec.data.rows import Rows
from peftrec.data.split import LEFT_OUT, TRAIN
from peftrec.errors import UserError, nearest, shown
from peftrec.recipe import TaskConfig


def row_weights(
    label: np.ndarray,
    parts: np.ndarray,
    classes: Sequence[str],
    config: TaskConfig,
    column: np.ndarray | None = None,
) -> np.ndarray | None:
    """The weight of every row, float32 (N,), 1 in the mean of the train rows; None where all count alike.

    label    (N,): class numbers, positions in `classes`
    parts    int8 (N,): rows that are left out count for nothing, whatever their column holds
    classes  the classes' names, '0' and '1' for liked or not; none where labels are numbers or several a row
    column   float64 (N,): what `row_weight` names; None without

    Class and row weight multiply. Raises UserError for a class that is none, for weights below 0 or not finite, and
    where no train row counts.
    """
    if config.class_weight is None and column is None:
        return None
    weight = np.ones(len(label))
    if config.class_weight is not None:
        weight *= _of_classes(label, parts, classes, config)[label.astype(np.int64)]
    if column is not None:
        _check_column(column[parts != LEFT_OUT], config)
        weight *= np.where(parts == LEFT_OUT, 0, column)
    total = weight[parts == TRAIN].sum()
    if not total > 0:
        keys = " times ".join(key for key in ("class_weight", "row_weight") if getattr(config, key) is not None)
        raise UserError(f"{keys}: every row of the train split weighs 0, so nothing would be learnt; give some more")
    scaled: np.ndarray = weight * ((parts == TRAIN).sum() / total)
    return scaled.astype(np.float32)


def file_weights(rows: Rows | None, config: TaskConfig) -> np.ndarray | None:
    """What `row_weight` names of a file's rows, NaN where it says nothing; None without. Raises UserError."""
    if config.row_weight is None:
        return None
    if rows is None:
        raise UserError(f"row_weight: these rows come from no file that has columns; found {shown(config.row_weight)}")
    return rows.numbers(config.row_weight, missing=True)


def _of_classes(label: np.ndarray, parts: np.ndarray, classes: Sequence[str], config: TaskConfig) -> np.ndarray:
    """Each class's weight, float64 (C,). `balanced`: train rows / (classes * train rows of the class)."""
    if not classes:
        raise UserError(
            "class_weight: the labels are not one class a row; leave it out, or weigh rows by a column (row_weight)"
        )
    if config.class_weight == "balanced":
        count = np.bincount(label[parts == TRAIN].astype(np.int64), minlength=len(classes))
        return count.sum() / (len(classes) * count.clip(1))  # a class of no train row is as if it had one
    given = dict(config.class_weight or {})
    for name in given:
        if name not in classes:
            raise UserError(f"class_weight: no label {shown(name)}; {nearest(name, list(classes))}")
    return np.array([given.get(name, 1.0) for name in classes])


def _check_column(column: np.ndarray, config: TaskConfig) -> None:
    wrong = ~(np.isfinite(column) & (column >= 0))
    if wrong.any():
        raise UserError(
            f"row_weight: column {config.row_weight!r} must hold finite numbers of at least 0; found "
            f"{column[int(wrong.argmax())]:g}, one of {int(wrong.sum()):,} such rows"
        )
