"""What the builders share: refusals, catalogue rows of the text table, cutting examples into splits."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from peftrec.data.examples import Examples, TaskData
from peftrec.data.split import TEST, TRAIN, VALID, check_parts
from peftrec.data.tables import Items
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, shown
from peftrec.recipe import SplitConfig
from peftrec.tasks.kind import Task

T = TypeVar("T")
FEW, NAMED = 3, 3  # train rows that a class needs at least, and how many rare classes are named


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


def rare_notes(label: np.ndarray, parts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """A note on classes that have hardly a row to learn from or none to be measured by; none where all have.

    `label` (N,) are class numbers, or (N, C) 1 or 0 for each class.
    """
    train, test = (_counts(label[parts == part], len(classes)) for part in (TRAIN, TEST))
    rare = np.flatnonzero((train < FEW) | (test == 0))
    if not len(rare):
        return []
    said = [f"{shown(classes[c])} ({train[c]:,} in train, {test[c]:,} in test)" for c in rare[:NAMED].tolist()]
    more = f" and {len(rare) - NAMED:,} more" if len(rare) > NAMED else ""
    return [
        f"{len(rare):,} of {len(classes):,} classes have fewer than {FEW} train rows or no test row: hardly "
        f"learnt, or not measured: {', '.join(said)}{more}; split: {{kind: stratified}} gives each split its share"
    ]


def _counts(label: np.ndarray, classes: int) -> np.ndarray:
    counts: np.ndarray = label.sum(0).astype(int) if label.ndim == 2 else np.bincount(label, minlength=classes)
    return counts


def check_varied(labels: np.ndarray, parts: np.ndarray, rule: str, kind: str = "class") -> None:
    """Raise UserError when the train rows hold one label only, of which nothing can be learnt."""
    train = labels[parts == TRAIN]
    if len(train) and np.all(train == train[0]):
        raise UserError(f"{rule}; the train split holds one {kind} only ({len(train)} rows)")
