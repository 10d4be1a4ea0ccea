"""The order in which rows are trained on: counted, never drawn from a state, so that a resumed run repeats it."""

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.recipe import Recipe
from peftrec.training.defaults import Settled, rows_an_epoch

Rows = dict[str, np.ndarray]  # task -> row numbers of its training examples


class RowStream:
    """The order in which one task's rows are trained on: a pure function of (seed, task number, position).

    Position p is row permutation(seed, task, p // N)[p % N]: each pass over the N rows has its own permutation. There
    is no other state, so a run continued at any step sees the rows it would have seen.

    With `group` (N,) int, rows of one group follow each other, and only the order of groups is random: a step then
    refers to fewer different texts when a group's rows share them.
    """

    def __init__(
        self,
        rows: int,
        per_epoch: int,
        steps_per_epoch: int,
        seed: int,
        task: int,
        group: np.ndarray | None = None,
    ) -> None:
        self.rows, self.per_epoch, self.steps, self.group = rows, per_epoch, steps_per_epoch, group
        self._key = (seed, task)
        self._passes: dict[int, np.ndarray] = {}

    def rows_until(self, step: int) -> int:
        """How many rows are given before optimiser step `step`."""
        return step * self.per_epoch // self.steps

    def step(self, number: int) -> np.ndarray:
        """Row numbers of optimiser step `number`, counted over all epochs; its epoch's rows are spread evenly."""
        first, last = self.rows_until(number), self.rows_until(number + 1)
        positions = np.arange(first, last)
        taken = [
            self._pass(int(p))[positions[positions // self.rows == p] % self.rows]
            for p in np.unique(positions // self.rows)
        ]
        return np.concatenate(taken) if taken else np.zeros(0, np.int64)

    def _pass(self, number: int) -> np.ndarray:
        if number not in self._passes:
            self._passes = {n: p for n, p in self._passes.items() if n == number - 1}
            random = np.random.default_rng((*self._key, number))
            if self.group is None:
                order = np.arange(self.rows, dtype=np.int32 if self.rows < 1 << 31 else np.int64)
                random.shuffle(order)
                self._passes[number] = order
            else:  # groups in random order, each group's rows side by side
                place = random.permutation(int(self.group.max()) + 1)
                self._passes[number] = np.argsort(place[self.group], kind="stable")
        return self._passes[number]


def make_streams(recipe: Recipe, config: Settled, dataset: Dataset) -> tuple[dict[str, RowStream], int, int]:
    """Each trained task's order of rows, the steps of an epoch, and of the whole training."""
    per_epoch = rows_an_epoch(recipe, dataset)
    steps = -(-sum(per_epoch.values()) // config.batch_size)
    streams = {}
    for number, (name, rows) in enumerate(per_epoch.items()):
        train = dataset.tasks[name].train
        group = train.users if config.locality == "user" else None
        streams[name] = RowStream(len(train), rows, steps, config.seed, number, group)
    return streams, steps, min(config.epochs * steps, config.max_steps or config.epochs * steps)
