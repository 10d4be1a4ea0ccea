"""Vectors of a run's own texts, kept once they were encoded: for a loaded run, whose weights change no more."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MOST_KEPT = 1 << 28  # bytes of vectors that a predictor keeps at most


class KeptVectors:
    """A task's vectors of the first text rows of a table, as many as may be kept."""

    def __init__(self, rows: int, width: int, device: torch.device, most: int) -> None:
        self._vectors = torch.empty(min(rows, most // (4 * width)), width, device=device)
        self._known = np.zeros(len(self._vectors), bool)

    def get(self, rows: np.ndarray, encode: Callable[[np.ndarray], Tensor]) -> Tensor:
        """The vectors of text rows (U,), float32 (U, D); those that are not there are encoded."""
        kept = np.flatnonzero(rows < len(self._known))
        new = rows[kept][~self._known[rows[kept]]]
        if len(new):
            self._vectors[self._index(new)] = encode(new)
            self._known[new] = True
        if len(kept) == len(rows):
            return self._vectors[self._index(rows)]
        found, others = (
            self._vectors.new_empty(len(rows), self._vectors.shape[1]),
            np.flatnonzero(rows >= len(self._known)),
        )
        found[self._index(kept)] = self._vectors[self._index(rows[kept])]
        found[self._index(others)] = encode(rows[others])
        return found

    def _index(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows).to(self._vectors.device)
