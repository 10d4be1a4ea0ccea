"""What a start is, and what a kind says of its own."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.vectors import Vectors

KEPT_ROWS = 1 << 20  # of a split, of which what the start says is kept: of more it is computed when they are read

Tensors = Mapping[str, np.ndarray]


class Start(Protocol):
    """A fitted predictor of one task's rows: what is added to its head's raw output.

    name  what it was made of, as priors are named
    """

    @property
    def name(self) -> str:
        """Such as `tfidf + frozen_lr`."""

    def __call__(self, rows: Examples) -> np.ndarray:
        """Of each row, float32 (N,) or (N, C): logits, or numbers on the scale that labels are learnt on."""

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors, as plain values."""

    def tensors(self) -> dict[str, np.ndarray]:
        """What a run keeps of it as numbers."""


@dataclass(frozen=True)
class Started:
    """A start, and what is said of the train rows by such as were not fitted on them: the head shall learn what is left
    to learn of rows that nobody has seen, not of rows that are explained already.

    train  float32 (N,) or (N, C); None: the start saw few of the rows, and may be asked itself
    """

    start: Start
    train: np.ndarray | None = None


@dataclass(frozen=True)
class Asked:
    """The rows that a start a run kept will be asked about; it must have been fitted to such.

    texts    the table that their texts are of
    vectors  of these, of so much `width`; None where the backbone is trained itself
    slots    the texts that a row has
    classes  how many the task has; 0: its labels are numbers, or say who liked or chose what
    columns  how many a row of events has (`tasks.columns`)
    rated    whether its items have rates
    several  whether its histories are of several tables
    """

    texts: TextTable
    vectors: Vectors | None
    width: int
    slots: tuple[str, ...]
    classes: int
    columns: int
    rated: bool
    several: bool


@dataclass(frozen=True)
class Starting:
    """How a kind's start is made.

    fit   (dataset, task's name, its keys, vectors) -> fitted to the train rows, their labels being on the scale that
          these are learnt on; None where nothing is better than a constant. `vectors` is None where the
          backbone is trained itself, so that nothing it says stays
    load  (settings, tensors, rows that it is asked about) -> the start that a run kept. Raises KeyError, TypeError,
          ValueError for what is none, and for what is none of such rows
    renumber  (start, int (I,)) -> the same for a catalogue in which the items have these numbers, -1 of those that it
          lacks; None: it knows no items by number
    """

    fit: Callable[[Dataset, str, TaskConfig, Vectors | None], Started | None]
    load: Callable[[Mapping[str, Any], Tensors, Asked], Start]
    renumber: Callable[[Start, np.ndarray], Start] | None = None


def start_of(data: TaskData) -> Start | None:
    """What a task's rows say that its head begins at."""
    return cast(Start | None, data.train.offsets)


def with_start(data: TaskData, started: Started, splits: Collection[str] = ("train", "valid", "test")) -> TaskData:
    """The task's data, whose rows know what the start says of them; of these splits it is computed now."""
    start = started.start

    def known(split: str) -> Examples:
        rows = data.split(split)
        if split == "train" and started.train is not None:
            return replace(rows, offsets=start, offset=started.train.astype(np.float32))
        # What a step ranks differs from step to step.
        kept = split in splits and 0 < len(rows) <= KEPT_ROWS and rows.catalogue is None
        return replace(rows, offsets=start, offset=start(rows) if kept else None)

    return replace(data, train=known("train"), valid=known("valid"), test=known("test"))
