"""What the kinds on single texts share: a column as labels, of which some may be missing; rows, and how they split."""

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.split import LEFT_OUT, by_group, by_time, time_boundaries
from peftrec.data.tables import Tables, Texts
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import table_of
from peftrec.tasks.kind import Task


def labelled(tables: Tables, task: Task) -> tuple[str, Texts, str]:
    """The text table that a task is about, its name, and the column of its labels. Raises UserError."""
    name, table = table_of(tables, Texts, task)
    column = task.config.label_column or table.label
    if column is None:
        raise UserError(f"label: name the column of {name} to predict: {', '.join(table.rows.table.column_names)}")
    return name, table, column


def split_texts(
    name: str, table: Texts, known: np.ndarray, data: DataConfig, seed: int
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (N,) of every text that has a label, how it was divided, and what the user should know of it.

    Texts that come with their own split keep it, unless the recipe says by-group; otherwise rows are drawn by `seed`.
    Raises UserError.
    """
    split, notes = data.split_of(name), []
    if table.given is not None and split.kind != "by-group":
        split = split.model_copy(update={"kind": "given"})
        parts = np.fromiter((("train", "valid", "test").index(part) for part in table.given), np.int8, len(table))
    elif split.kind == "given":
        raise UserError("data.split.kind: 'given' needs a split column: data.texts.split")
    elif split.kind == "global-time" and table.time is not None:
        parts = by_time(table.time, time_boundaries(table.time, split))
    else:
        if split.kind != "by-group":
            notes.append(f"split at random, not {split.kind}: texts have no time")
        elif table.given is not None:
            notes.append("split at random: by-group leaves the split that the texts come with unused")
        parts = by_group(np.arange(len(table)), split, seed)
    if not known.all():
        notes.append(f"{int((~known).sum()):,} of {len(known):,} texts have no label, and do not count for this task")
    return np.where(known, parts, LEFT_OUT), split, notes


def text_examples(table: Texts, texts: TextTable, label: np.ndarray) -> Examples:
    """Every text as an example, with `label` (N,). Slot `text`; group = row number."""
    return Examples(
        slots={"text": np.fromiter((texts.add(text) for text in table.text), np.int32, len(table))},
        label=label,
        features=np.zeros((len(table), 0), np.float32),
        group=np.arange(len(table)),
        item=np.full(len(table), -1, np.int64),
        time=np.full(len(table), np.nan) if table.time is None else table.time,
    )
