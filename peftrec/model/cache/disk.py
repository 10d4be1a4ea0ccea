"""A table's states on disk: text rows to entries of the store and back. What fails there is said, and done without."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peftrec.data.texts import TextTable
from peftrec.machine.progress import note
from peftrec.machine.tensors import finite
from peftrec.model.cache.folder import make_room
from peftrec.model.cache.store import Store

# What a process that is killed while building may lose.
APPEND_BYTES, APPEND_SECONDS = 64 << 20, 20.0


class DiskStates:
    """The states under one key as tensors (units, *width); `units(rows)` says how many of them a text row has.

    writes   False once something could not be written; what is there is still read
    """

    def __init__(self, store: Store, texts: TextTable, units: Callable[[np.ndarray], np.ndarray], like: Tensor) -> None:
        self._store, self._texts, self._units = store, texts, units
        self._dtype, self._width = like.dtype, like.shape[1:]
        self.folder, self.writes = store.folder, True
        self._pending: list[tuple[np.ndarray, Tensor]] = []
        self._pending_since = time.monotonic()

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Each row's entry (N,), -1 where the disk has none."""
        return self._store.find(self._texts.digests(rows), self._units(rows))

    def refresh(self) -> None:
        """See what other processes have written."""
        try:
            self._store.refresh()
        except (OSError, ValueError) as error:
            self._without(str(error))

    def read(self, entries: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """The units of some entries one after the other, and which entries are intact (N,)."""
        raw, intact = self._store.read(entries)
        states = torch.from_numpy(raw).view(self._dtype).view(-1, *self._width)
        if not finite(states):
            parts = torch.split(states, self._store.entries["units"][entries].tolist())
            intact &= np.array([finite(part) for part in parts])
            self._store.forget(entries[~intact])
        if not intact.all():
            note(f"{(~intact).sum():,} texts are damaged in the cache {self.folder}: computed again")
        return states, intact

    def make_room(self, needed: int) -> None:
        """Let older keys go for so many bytes; where that is not enough, nothing is written."""
        if self.writes and needed:
            try:
                problem = make_room(needed, self.folder)
            except OSError as error:
                problem = str(error)
            if problem is not None:
                self._without(problem)

    def add(self, rows: np.ndarray, states: Tensor) -> None:
        """Write the units of `rows`, now or with later ones."""
        if not self.writes or not len(rows):
            return
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append((rows, states))
        late = time.monotonic() - self._pending_since > APPEND_SECONDS
        if late or sum(s.nbytes for _, s in self._pending) >= APPEND_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is still to be written."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = np.concatenate([r for r, _ in pending])
        states = torch.cat([s for _, s in pending]).contiguous()
        raw = states.view(len(states), -1).view(torch.uint8).numpy()
        try:
            self._store.append(self._texts.digests(rows), self._units(rows), raw)
        except (OSError, ValueError) as error:  # ValueError: shorter, when it is mapped, than it was just before
            self._without(str(error))

    def _without(self, problem: str) -> None:
        if self.writes:
            note(f"the cache {self.folder} is not written to: {problem}")
        self.writes = False


def open_disk(
    folder: Path,
    described: dict[str, Any],
    texts: TextTable,
    units: Callable[[np.ndarray], np.ndarray],
    like: Tensor,
) -> DiskStates | None:
    """The states that the disk has in a key's folder; None, and a line that says why, where it cannot be used."""
    try:
        return DiskStates(Store(folder, like.nbytes // max(1, len(like)), described), texts, units, like)
    except (OSError, ValueError) as error:
        note(f"no cache on disk: {error}")
        return None
