"""The dataset of a run: one text table, and the examples of every task."""

from collections.abc import Callable

import numpy as np

from peftrec.data.examples import Dataset, TaskData
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.errors import Problems
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import item_rows

Builder = Callable[[Tables, TextTable, TaskConfig, DataConfig, int], TaskData]


def build_dataset(
    tables: Tables, tasks: dict[str, TaskConfig], builders: dict[str, Builder], data: DataConfig, seed: int
) -> Dataset:
    """Examples of every task over one text table. `builders`: task kind -> builder.

    Raises UserErrors naming the task for a key that its kind does not read, a table it lacks, or an empty split.
    """
    texts = TextTable()
    rows = np.zeros(0, np.int32) if tables.items is None else item_rows(tables.items, texts)
    built: dict[str, TaskData] = {}
    notes = list(tables.notes)
    problems = Problems()
    for name, task in tasks.items():
        with problems.collect(f"tasks.{name}: "):
            built[name] = builders[task.kind](tables, texts, task, data, seed)
            notes += [f"{name}: {note}" for note in built[name].notes]
            if task.only_measured:
                notes.append(f"{name}: weight 0: it is measured, but not trained")
    problems.stop()
    return Dataset(
        texts=texts,
        item_ids=[] if tables.items is None else tables.items.ids,
        item_rows=rows,
        user_ids=[] if tables.events is None else tables.events.user_ids,
        tasks=built,
        notes=notes,
    )
