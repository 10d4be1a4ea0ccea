"""What a start is asked about, as a run tells it, for tests that read a start again."""

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.tasks.columns import columns
from peftrec.tasks.priors import Vectors
from peftrec.tasks.starts import Asked


def asked_of(dataset: Dataset, vectors: Vectors | None = None, task: str = "task") -> Asked:
    """A task's rows, with these vectors."""
    data = dataset.tasks[task]
    width = 0 if vectors is None else vectors(np.zeros(1, int)).shape[1]
    many = columns(data.train.take(np.arange(1))).shape[1]
    slots, rated = tuple(data.train.slots), data.train.rates is not None
    return Asked(dataset.texts, vectors, width, slots, len(data.classes), many, rated, len(data.history) > 1)
