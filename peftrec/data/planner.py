"""What a step encodes: the unique texts, in length buckets under a token budget, and where each slot finds them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peftrec.data.examples import Examples


@dataclass(frozen=True)
class HeadInput:
    """What a head sees of a batch: encoded vectors and where each example finds its own.

    vectors   float32 (U, D): one vector a unique text
    slots     name -> int64 (N,): positions in `vectors`
    history   int64 (N, H): positions, -1 where absent; None for tasks without histories
    feedback  float32 (N, H): what the user said about each; 0 where absent
    features  float32 (N, F)
    candidates  int64 (C,): positions of the items to tell each example's own from; None outside such training
    popularity  float32 (N, 1 + C): log1p of earlier choices of the example's own item and of every candidate; None for
                tasks that rank no catalogue
    """

    vectors: Tensor
    slots: dict[str, Tensor]
    history: Tensor | None
    feedback: Tensor | None
    features: Tensor
    candidates: Tensor | None = None
    popularity: Tensor | None = None


class UniqueRows:
    """The unique text rows that several tasks' examples refer to, and the examples' positions among them."""

    def __init__(self, batches: dict[str, Examples], texts: int) -> None:
        self._histories = {task: b.history() for task, b in batches.items() if b.log is not None}
        referenced = [rows for batch in batches.values() for rows in batch.slots.values()]
        referenced += [rows[rows >= 0] for rows, _ in self._histories.values()]
        referenced += [batch.candidate_rows() for batch in batches.values()]
        used = np.zeros(texts, bool)
        for rows in referenced:
            used[rows] = True
        self.rows = np.flatnonzero(used)  # (U,)
        self.references = sum(rows.size for rows in referenced)
        self._position = np.full(texts + 1, -1, np.int64)  # the last entry answers row -1: absent
        self._position[self.rows] = np.arange(len(self.rows))

    def head_input(self, task: str, batch: Examples, vectors: Tensor) -> HeadInput:
        """The batch of one task over `vectors` (U, D), which are in the order of `rows`."""
        device = vectors.device
        history, feedback = self._histories.get(task, (None, None))
        popularity = batch.popularity()
        candidates = None if batch.candidates is None else self._position[batch.candidate_rows()]
        return HeadInput(
            vectors=vectors,
            slots={name: torch.from_numpy(self._position[rows]).to(device) for name, rows in batch.slots.items()},
            history=None if history is None else torch.from_numpy(self._position[history]).to(device),
            feedback=None if feedback is None else torch.from_numpy(feedback).to(device),
            features=torch.from_numpy(batch.inputs()).to(device),
            candidates=None if candidates is None else torch.from_numpy(candidates).to(device),
            popularity=None if popularity is None else torch.from_numpy(popularity).to(device),
        )


@dataclass
class Work:
    """What was asked for and what was done: text rows that examples refer to, rows encoded, and their tokens."""

    referenced: int = 0
    encoded: int = 0
    tokens: int = 0
    padded_tokens: int = 0

    def line(self) -> str:
        """The redundancy removed and the padding share, for the user."""
        times = self.referenced / max(1, self.encoded)
        said = f"{self.referenced:,} texts referred to, {self.encoded:,} encoded ({times:.1f} times fewer)"
        if not self.padded_tokens:
            return f"{said}, all from the cache: the backbone ran for none of them"
        return f"{said}; padding {1 - self.tokens / self.padded_tokens:.1%} of the tokens"


def buckets(lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Cut 0..U-1 into groups of similar length, each holding at most `token_budget` tokens with its padding.

    A single text longer than the budget is a group of its own. Longest first: memory peaks at once.
    """
    order = np.argsort(-lengths, kind="stable")
    groups, start = [], 0
    while start < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + size])
        start += size
    return groups


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
                self._passes[number] = random.permutation(self.rows)
            else:  # groups in random order, each group's rows side by side
                place = random.permutation(int(self.group.max()) + 1)
                self._passes[number] = np.argsort(place[self.group], kind="stable")
        return self._passes[number]
