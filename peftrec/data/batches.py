"""What a step encodes: the unique texts, in length buckets under a token budget, and where each slot finds them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peftrec.data.examples import Examples
from peftrec.data.signals import of_step


@dataclass(frozen=True)
class HeadInput:
    """What a head sees of a batch: encoded vectors and where each example finds its own.

    vectors   float32 (U, D): one vector a unique text
    slots     name -> int64 (N,): positions in `vectors`
    history   int64 (N, H): positions, -1 where absent; None for tasks without histories
    feedback  float32 (N, H): what the user said about each; 0 where absent
    marks     int64 (N, H): which of the task's history tables each is of; None where there is one
    features  float32 (N, F)
    candidates  int64 (C,): positions of the items to tell each example's own from; None outside such training
    barred      bool (N, C): which candidates are no alternatives to each example's own item
    signals   float32 (N, 1 + C, S): what is known of the example's own item and of every candidate; None for tasks that
              rank no catalogue. See `data.signals`
    of_item     float32 (N, F): the features of each example's item; None where items have none
    of_asker    float32 (N, F): the same of its user and of its event
    of_candidates  float32 (C, F): the same of every candidate
    offset      float32 (N,) or (N, C): what is added to the head's raw output; None where it begins at a constant
    """

    vectors: Tensor
    slots: dict[str, Tensor]
    history: Tensor | None
    feedback: Tensor | None
    features: Tensor
    marks: Tensor | None = None
    candidates: Tensor | None = None
    barred: Tensor | None = None
    signals: Tensor | None = None
    of_item: Tensor | None = None
    of_asker: Tensor | None = None
    of_candidates: Tensor | None = None
    offset: Tensor | None = None

    def begun(self, raw: Tensor) -> Tensor:
        """The raw output of a head, (N,) or (N, C), with what it begins at."""
        return raw if self.offset is None else raw + self.offset


class UniqueRows:
    """The unique text rows that several tasks' examples refer to, and the examples' positions among them."""

    def __init__(self, batches: dict[str, Examples], texts: int) -> None:
        self._histories = {task: b.history() for task, b in batches.items() if b.log is not None}
        referenced = [rows for batch in batches.values() for rows in batch.slots.values()]
        referenced += [past.rows[past.rows >= 0] for past in self._histories.values()]
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
        past = self._histories.get(task)
        marks = None if past is None else past.marks
        candidates = None if batch.candidates is None else self._position[batch.candidate_rows()]

        def there(values: np.ndarray | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        return HeadInput(
            vectors=vectors,
            slots={name: torch.from_numpy(self._position[rows]).to(device) for name, rows in batch.slots.items()},
            history=None if past is None else torch.from_numpy(self._position[past.rows]).to(device),
            feedback=None if past is None else torch.from_numpy(past.feedback).to(device),
            marks=there(marks),
            features=torch.from_numpy(batch.inputs()).to(device),
            candidates=there(candidates),
            barred=there(batch.barred()),
            signals=there(of_step(batch)),
            of_item=there(batch.features_of_item()),
            of_asker=there(batch.features_of_asker()),
            of_candidates=there(batch.features_of_candidates()),
            offset=there(batch.begin()),
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


def buckets(lengths: np.ndarray, token_budget: int, apart: int | None = None) -> list[np.ndarray]:
    """Cut 0..U-1 into groups of similar length, each holding at most `token_budget` tokens with its padding.

    A single text longer than the budget is a group of its own. Longest first: memory peaks at once. `apart`: as many
    tokens of padding as one more group is worth; None: as few groups as the budget allows.
    """
    order = np.argsort(-lengths, kind="stable")
    groups, start = [], 0
    while start < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + size])
        start += size
    return groups if apart is None else [part for group in groups for part in _cut(lengths, group, apart)]


def _cut(lengths: np.ndarray, group: np.ndarray, apart: int) -> list[np.ndarray]:
    """A group, longest first, cut where that saves most padding, and its parts likewise, while that is more than
    `apart`."""
    saved = (lengths[group[0]] - lengths[group]) * np.arange(len(group), 0, -1)
    place = int(saved.argmax())
    if saved[place] <= apart:
        return [group]
    return [*_cut(lengths, group[:place], apart), *_cut(lengths, group[place:], apart)]
