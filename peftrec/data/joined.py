"""Train and valid as one, for a training that goes over both when all has been chosen."""

from dataclasses import replace
from typing import Any

import numpy as np

from peftrec.data.examples import COLUMNS, Dataset, Examples, TaskData


def train_on_all(dataset: Dataset) -> Dataset:
    """The dataset whose validation rows are train rows of every task, and which has none left."""
    return replace(dataset, tasks={name: _all_of(data) for name, data in dataset.tasks.items()})


def _all_of(data: TaskData) -> TaskData:
    none = data.valid.take(np.arange(0))
    return replace(data, train=joined(data.train, data.valid), valid=none, fitted={})


def joined(first: Examples, second: Examples) -> Examples:
    """The rows of both, of one task and one log, (N + M,)."""
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        one, two = getattr(first, name), getattr(second, name)
        columns[name] = None if one is None or two is None else np.concatenate([one, two])
    slots = {name: np.concatenate([rows, second.slots[name]]) for name, rows in first.slots.items()}
    return replace(first, slots=slots, **columns)
