"""What the builders share: refusals, catalogue rows of the text table, cutting examples into splits."""

from collections.abc import Sequence

import numpy as np

from peftrec.data.examples import Examples, TaskData
from peftrec.data.split import TEST, TRAIN, VALID, Divisible, check_parts, divide
from peftrec.data.tables import Events, Items, Queries, T, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, nearest, shown
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.kind import Task


def table_of(tables: Tables, sort: type[T], task: Task) -> tuple[str, T]:
    """The table of a sort that the task is about, and its name: the one it names, or the only one. Raises UserError."""
    found, wanted = tables.of(sort), sort.__name__.lower()
    name = task.config.table
    if name is not None and name not in found:
        raise UserError(
            f"table: kind {task.config.kind} reads a table of kind {wanted}, and none is called {shown(name)}; "
            f"{nearest(name, list(found))}"
        )
    if not found:
        raise UserError(
            f"kind: {task.config.kind} needs the table {wanted!r}, which the data lack; give data.{wanted} or a source"
        )
    if name is None and len(found) > 1:
        raise UserError(f"table: name the one that the task is about: {', '.join(found)}")
    name = name or next(iter(found))
    return name, found[name]


def catalogue_of(tables: Tables, table: Events | Queries, task: Task) -> Items:
    """The catalogue that a table's items are of. Raises UserError."""
    found = tables.of(Items)
    if table.catalogue not in found:
        raise UserError(
            f"kind: {task.config.kind} needs the table {table.catalogue!r}, which the data lack; give data.items or a "
            "source"
        )
    return found[table.catalogue]


def divided(rows: Divisible, name: str, data: DataConfig, seed: int) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (N,) of every row of a table, the split as it was done, and what the user should know of it.

    Raises UserError.
    """
    own = getattr(data.named.get(name), "split", None) is not None
    return divide(rows, data.split_of(name), seed, data.key_of(name), own)


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
    items: str = "",
    history: Sequence[str] = (),
) -> TaskData:
    """The examples cut by `parts` int8 (N,); see TaskData for the others. Raises UserError for an empty split."""
    check_parts(parts, split)
    train, valid, test = (examples.take(np.flatnonzero(parts == part)) for part in (TRAIN, VALID, TEST))
    return TaskData(train, valid, test, list(classes), list(feature_names), list(notes), scale, items, list(history))


def check_varied(labels: np.ndarray, parts: np.ndarray, rule: str, kind: str = "class") -> None:
    """Raise UserError when the train rows hold one label only, of which nothing can be learnt."""
    train = labels[parts == TRAIN]
    if len(train) and np.all(train == train[0]):
        raise UserError(f"{rule}; the train split holds one {kind} only ({len(train)} rows)")
