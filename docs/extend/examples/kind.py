"""A kind of one's own: what rating does an item's text promise, for items that nobody has rated yet.

A row is an item, its label the mean of `column` over the item's events; whole items are held out.
"""

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.data.batches import HeadInput
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.split import by_group
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import catalogue_of, cut, item_rows, table_of
from peftrec.tasks.events import event_column, listed
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import Head, HeadShape, input_norm
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.losses import Loss
from peftrec.tasks.rows import ITEM


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """One row an item that has events. Slot `item`; group = item. Raises UserError."""
    name, events = table_of(tables, Events, task)
    items, split = catalogue_of(tables, events, task), data.split_of(name)
    if task.config.column is None:
        raise UserError(f"column: kind {task.config.kind} needs it; the numeric columns are {listed(events)}")
    total = np.bincount(events.item, event_column(events, task.config.column), len(items))
    count = np.bincount(events.item, minlength=len(items))
    item = np.flatnonzero(count)
    examples = Examples(
        slots={"item": item_rows(items, texts)[item]},
        label=(total[item] / count[item]).astype(np.float32),
        features=np.zeros((len(item), 0), np.float32),
        group=item,
        item=item,
        time=np.full(len(item), np.nan),
    )
    notes = ["items are held out whole, at random"]
    return cut(examples, by_group(item, split, seed), split, notes=notes, items=events.catalogue)


class Appeal(Head):
    """The item's vector -> one number (N,)."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.out = nn.Sequential(nn.Dropout(shape.dropout), nn.Linear(shape.width, 1))
        self.register_buffer("level", torch.tensor([0.0, 1.0]))

    def calibrate(self, train: Examples, loss: Loss) -> None:
        """Start at the best constant prediction, on the labels' own scale."""
        self.level.copy_(torch.tensor(loss.start(train.label.astype(np.float64))))

    def forward(self, batch: HeadInput) -> Tensor:
        """Predictions (N,): each unique text is scored once, and its rows gather the score."""
        shift, scale = self.level
        return shift + scale * gather(self.out(self.norm(batch.vectors))[:, 0], batch.slots["item"])


def head(shape: HeadShape, config: TaskConfig) -> Head:
    """The head, whatever the recipe says."""
    return Appeal(shape)


def train_mean(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """A trivial prediction (N,) to beat: the mean of the training labels."""
    return np.full(len(examples), dataset.tasks[task].train.label.mean(dtype=np.float64))


APPEAL = Kind(
    question="which rating does an item's text promise",
    hub_type="tabular-regression",
    build=build,
    fields={"item": ITEM},  # how a row given to `predict` fills the slot: by `item` or `item_text`
    head=head,
    losses=("mse", "mae"),  # the first is the default
    metrics={"number": ("mae", "rmse", "r2")},
    answer=number_answer,
    reads=("column",),
    priors=("median", "kind:train_mean"),
)
