"""Train and valid as one, for a training that goes over both when all has been chosen."""

from dataclasses import replace
from typing import Any

import numpy as np

from peftrec.data.catalogue import Choices, fold_of
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import COLUMNS, Examples


def train_on_all(dataset: Dataset) -> Dataset:
    """The dataset whose validation rows are train rows of every task, and which has none left; what they chose, they
    choose again (`TaskData.divided`)."""
    return replace(dataset, tasks={name: _all_of(data) for name, data in dataset.tasks.items()})


def _all_of(data: TaskData) -> TaskData:
    train, none = joined(data.train, data.valid) if data.both is None else data.both, data.valid.take(np.arange(0))
    data = replace(data, valid=none, divided=(data.train, data.valid), both=None, fitted={})
    train = train if train.fold is None else replace(train, fold=fold_of(train.users))
    if train.catalogue is None or train.catalogue.learnt is None:
        return replace(data, train=train)
    # What goes together is counted in the validation rows too.
    learnt = train.catalogue.later or Choices(train.users, train.item, len(train.catalogue)).thinned()
    catalogue = replace(train.catalogue, learnt=learnt)
    train = replace(train, catalogue=catalogue)
    return replace(data, train=train, test=replace(data.test, catalogue=catalogue))


def joined(first: Examples, second: Examples) -> Examples:
    """The rows of both, of one task and one log, (N + M,)."""
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        one, two = getattr(first, name), getattr(second, name)
        columns[name] = None if one is None or two is None else np.concatenate([one, two])
    slots = {name: np.concatenate([rows, second.slots[name]]) for name, rows in first.slots.items()}
    return replace(first, slots=slots, **columns)
