"""What a run reads: every task's examples, split, and what they refer to."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from peftrec.data.catalogue import ItemTexts
from peftrec.data.examples import Examples
from peftrec.data.features import NO_FEATURES, Encoding, FeatureTable
from peftrec.data.scales import to_log
from peftrec.data.summary import TableSummary
from peftrec.data.tables import Files
from peftrec.data.texts import TextTable


@dataclass(frozen=True)
class TaskData:
    """One task's examples, split. `valid` may be empty.

    classes        names of the classes or grades, in label order (grades ascending); empty for regression-like labels
    feature_names  the F columns of `inputs()`
    notes          what the user should know: rows left out and why, warnings of the split
    scale          (centre, spread) by which the log's feedback was standardised; (0, 1) where it is liked or not
    log_scale      whether labels, which are as they are, and feedback are learnt as `scales.to_log` of them
    levels         the few numbers that labels are of, ascending, which predictions are drawn near; () of others
    items          name of the table that its items are of; '' without items
    history        names of the tables that its histories are of, in the order of the log's marks
    impressions    whether its rows stand in lists that were shown, their groups then; others count for no rate
    hides          those of `history` of which histories leave out what was shown and not clicked; where the task's own
                   is among them, its rates count that
    fitted         what was fitted on these rows, by name: once, whoever asks for it
    encodings      how features are encoded, of its items ("item"), users ("user") and events ("event") that have some
    files          of the table that its rows are of; none: its rows' numbers are of no file of the user's
    names          int64 (C,): rows of the text table, what the classes are called; (0,) where that says nothing
    divided        what train and valid were where `train` is both (`joined.train_on_all`): by them all that is chosen
                   is chosen again
    both           the rows of train and valid as train rows of one log, for that; None: they are in one already, as all
                   with times are
    """

    train: Examples
    valid: Examples
    test: Examples
    classes: list[str] = field(default_factory=list)
    feature_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scale: tuple[float, float] = (0.0, 1.0)
    items: str = ""
    history: list[str] = field(default_factory=list)
    encodings: dict[str, Encoding] = field(default_factory=dict)
    impressions: bool = False
    fitted: dict[str, Any] = field(default_factory=dict, compare=False)
    hides: list[str] = field(default_factory=list)
    log_scale: bool = False
    levels: tuple[float, ...] = ()
    files: Files = ()
    names: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    divided: tuple[Examples, Examples] | None = None
    both: Examples | None = None

    @cached_property
    def log_counts(self) -> np.ndarray:
        """log1p of how many train rows each item has, float64, up to the last that has any."""
        return np.log1p(np.bincount(self.train.item))

    def learnt(self, rows: Examples) -> Examples:
        """Rows of the task with their labels on the scale that these are learnt on."""
        return replace(rows, label=to_log(rows.label).astype(np.float32)) if self.log_scale else rows

    def split(self, name: str) -> Examples:
        """`train`, `valid` or `test` by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]


@dataclass(frozen=True)
class Dataset:
    """Everything a run reads: the unique texts, the catalogues, and every task's examples.

    items      the catalogues by the names of their tables
    user_ids   users' ids, in user-number order
    tasks      name -> TaskData, in recipe order
    notes      what the user should know about the data: the source's remarks, then each task's ('task: ...')
    tables     what each table was understood as, where that was asked for
    users      the features of users, in user-number order
    """

    texts: TextTable
    items: dict[str, ItemTexts]
    user_ids: list[str]
    tasks: dict[str, TaskData]
    notes: list[str] = field(default_factory=list)
    tables: list[TableSummary] = field(default_factory=list)
    users: FeatureTable = NO_FEATURES

    def learnt(self, task: str) -> "Dataset":
        """The same with the task's labels on the scale that these are learnt on."""
        data = self.tasks[task]
        if not data.log_scale:
            return self
        train, valid, test = map(data.learnt, (data.train, data.valid, data.test))
        divided = data.divided and (data.learnt(data.divided[0]), data.learnt(data.divided[1]))
        data = replace(data, train=train, valid=valid, test=test, divided=divided)
        return replace(self, tasks={**self.tasks, task: data})

    def items_of(self, task: str) -> ItemTexts:
        """The catalogue that a task's items are of."""
        return self.items[self.tasks[task].items]
