"""A task's vectors of some texts, encoded once by weights that change no more, from which further calls take them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class KeptVectors:
    """The vectors float32 (M, D) of text rows int (M,), ascending."""

    rows: np.ndarray
    vectors: Tensor

    def of(self, rows: np.ndarray, encode: Callable[[np.ndarray], Tensor]) -> Tensor:
        """The vectors of text rows (U,), float32 (U, D); those that are not there are encoded."""
        place, there = self._find(rows)
        if there.all():
            return self.vectors[self._index(place)]
        found = self.vectors.new_empty(len(rows), self.vectors.shape[1])
        kept, others = np.flatnonzero(there), np.flatnonzero(~there)
        found[self._index(kept)] = self.vectors[self._index(place[kept])]
        found[self._index(others)] = encode(rows[others])
        return found

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        """Those of text rows (U,) that are not there."""
        return rows[~self._find(rows)[1]]

    def _find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each of text rows (U,) is, if it is there, and whether it is (U,)."""
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return place, self.rows[place] == rows

    def _index(self, places: np.ndarray) -> Tensor:
        return torch.from_numpy(places).to(self.vectors.device)
