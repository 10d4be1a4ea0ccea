"""What the kinds on single texts share: a column as labels, of which some may be missing; rows, and how they split."""

import numpy as np
import pyarrow as pa

from peftrec.data.examples import Examples
from peftrec.data.remarks import repeated_texts
from peftrec.data.split import LEFT_OUT, Divisible
from peftrec.data.tables import Tables, Texts
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, shown
from peftrec.recipe import DataConfig, LabelConfig, SplitConfig
from peftrec.tasks.building import divided, table_of
from peftrec.tasks.kind import Task


def labelled(tables: Tables, task: Task) -> tuple[str, Texts, str]:
    """The text table that a task is about, its name, and the column of its labels. Raises UserError."""
    name, table = table_of(tables, Texts, task)
    label = task.config.label
    if isinstance(label, LabelConfig) and "tags" not in task.kind.metrics:
        raise UserError(
            f"label.separator: kind {task.config.kind} has one label a text; found {shown(label.separator)}; write "
            f"label: {label.column}"
        )
    column = task.config.label_column or table.label
    if column is None:
        raise UserError(f"label: name the column of {name} to predict: {', '.join(table.rows.table.column_names)}")
    return name, table, column


def split_texts(
    name: str, table: Texts, label: np.ndarray, known: np.ndarray, data: DataConfig, seed: int
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (N,) of every text, how they were divided, and what the user should know of it.

    `label` (N,), whole numbers where they are classes; `known` bool (N,): which have one; the others are left out.
    Raises UserError.
    """
    text = pa.array(table.text, pa.string()).dictionary_encode().indices.to_numpy()
    rows = Divisible(
        sort="texts",
        rows=len(table),
        time=table.time,
        groups={"text": text},
        given=table.given,
        label=np.where(known, label, -1) if label.dtype.kind == "i" else None,
    )
    parts, split, notes = divided(rows, name, data, seed)
    if not known.all():
        notes.append(f"{int((~known).sum()):,} of {len(known):,} texts have no label, and do not count for this task")
    parts = np.where(known, parts, LEFT_OUT)
    return parts, split, [*notes, *repeated_texts(text, label, parts)]


def text_examples(table: Texts, texts: TextTable, label: np.ndarray) -> Examples:
    """Every text as an example, with `label` (N,) or (N, C). Slot `text`; group = row number."""
    return Examples(
        slots={"text": np.fromiter((texts.add(text) for text in table.text), np.int32, len(table))},
        label=label,
        features=np.zeros((len(table), 0), np.float32),
        group=np.arange(len(table)),
        item=np.full(len(table), -1, np.int64),
        time=np.full(len(table), np.nan) if table.time is None else table.time,
        row=table.rows.origins,
    )
