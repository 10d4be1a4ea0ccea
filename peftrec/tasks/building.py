"""What the builders share: refusals, catalogue rows of the text table, cutting examples into splits."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from peftrec.data.examples import Examples, TaskData
from peftrec.data.split import TEST, TRAIN, VALID, check_parts
from peftrec.data.tables import Items
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import SplitConfig
from peftrec.tasks.kind import Task

T = TypeVar("T")


def needed(table: T | None, name: str, task: Task) -> T:
    """The table, or UserError when the data lack it."""
    if table is None:
        raise UserError(
            f"kind: {task.config.kind} needs the table {name!r}, which the data lack; give data.{name} or a source"
        )
    return table


def item_rows(items: Items, texts: TextTable) -> np.ndarray:
    """int32 (I,): the text row of every item."""
    return np.fromiter((texts.add(text) for text in items.texts), np.int32, len(items))


def cut(
    examples: Examples,
    parts: np.ndarray,
    split: SplitConfig,
    classes: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    scale: tuple[float, float] = (0.0, 1.0),
) -> TaskData:
    """The examples cut by `parts` int8 (N,). Raises UserError for an empty split."""
    check_parts(parts, split)
    train, valid, test = (examples.take(np.flatnonzero(parts == part)) for part in (TRAIN, VALID, TEST))
    return TaskData(train, valid, test, list(classes), list(feature_names), list(notes), scale)


def check_varied(labels: np.ndarray, parts: np.ndarray, rule: str, kind: str = "class") -> None:
    """Raise UserError when the train rows hold one label only, of which nothing can be learnt."""
    train = labels[parts == TRAIN]
    if len(train) and np.all(train == train[0]):
        raise UserError(f"{rule}; the train split holds one {kind} only ({len(train)} rows)")
