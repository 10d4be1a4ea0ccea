"""One key's states on disk: a file of states that only grows, and an index that says which text lies where.

    states     unit after unit, `unit_bytes` each: a token's state, or all of a text's pooled states
    index      32 bytes a text: 128-bit digest of its tokens, first unit, number of units, CRC-32 of its states
    lock       held while a process appends
    use        held, shared, by every process that uses the key; its time is when the key was last used
    key.json   what the states depend on

Nothing written is ever changed: the states of a text found damaged are appended again, and its last entry counts. A
process may be killed at any moment: states are synced before the index names them, and what no entry names is
overwritten. Every text is checked against its CRC when it is first read, which finds accidents; against those who
would write other states with the right CRC, only this user's own files are used (`owned`).
"""

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from peftrec.model.cache import owned
from peftrec.model.cache.described import read_description, write_description
from peftrec.model.cache.owned import make_folder, open_own, own_folder, own_root, shut, wait_for

ENTRY = np.dtype([("high", "<u8"), ("low", "<u8"), ("start", "<i8"), ("units", "<i4"), ("crc", "<u4")])


class Store:
    """The states that one key has on disk, mapped into memory. Every method raises OSError where the disk fails."""

    def __init__(self, folder: Path, unit_bytes: int, description: dict[str, Any]) -> None:
        self.folder, self.unit_bytes = folder, unit_bytes
        self._use = _hold(folder)
        with own_folder(folder) as opened:
            if read_description(folder, opened) is None:
                write_description(folder, opened, description)
            self._states, self._index, self._lock = (
                open_own(folder / name, opened, os.O_RDWR | os.O_CREAT) for name in ("states", "index", "lock")
            )
        self._seen = -1
        self._units = np.zeros(0, f"V{unit_bytes}")
        self.entries = np.zeros(0, ENTRY)
        self._checked = np.zeros(0, bool)
        self._damaged = np.zeros(0, bool)
        self.refresh()

    def refresh(self) -> None:
        """See what other processes have appended."""
        size = os.fstat(self._index.fileno()).st_size
        if size == self._seen:
            return
        if size < self.entries.nbytes:
            raise OSError(f"{self.folder / 'index'} has been cut off")
        self._seen = size
        self._index.seek(0)
        self.entries = np.fromfile(self._index, ENTRY, size // ENTRY.itemsize)
        new = max(0, len(self.entries) - len(self._checked))
        self._checked = np.append(self._checked, np.zeros(new, bool))
        self._damaged = np.append(self._damaged, np.zeros(new, bool))
        units = os.fstat(self._states.fileno()).st_size // self.unit_bytes
        if units:
            self._units = np.asarray(np.memmap(self._states, f"V{self.unit_bytes}", "r", shape=(units,)))
        of = self.entries
        # Not the sum of both, which a damaged entry makes overflow.
        inside = (of["start"] >= 0) & (of["units"] > 0) & (of["start"] <= len(self._units) - of["units"])
        usable = np.flatnonzero(inside)
        self.end = int((of["start"][usable] + of["units"][usable]).max(initial=0))
        self._order = usable[np.argsort(of["high"][usable], kind="stable")]
        self._high = of["high"][self._order]

    def find(self, digests: np.ndarray, units: np.ndarray) -> np.ndarray:
        """The last entry of each text, given by its digest uint64 (N, 2) and its units (N,); -1 where it has none."""
        found = np.full(len(digests), -1)
        if len(self._order):
            at = np.maximum(np.searchsorted(self._high, digests[:, 0], side="right") - 1, 0)
            entry = self._order[at]
            of = self.entries[entry]
            same = (of["high"] == digests[:, 0]) & (of["low"] == digests[:, 1]) & (of["units"] == units)
            same &= ~self._damaged[entry]
            found[same] = entry[same]
        return found

    def read(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The units of some entries in a row, uint8 (sum of units, unit_bytes), and which entries are intact (N,)."""
        of = self.entries[entries]
        data = np.take(self._units, ragged(of["start"], of["units"]))
        intact = self._checked[entries]
        if not intact.all():
            ends = (np.cumsum(of["units"]) * self.unit_bytes).tolist()
            raw, starts = data.view(np.uint8).data, [0, *ends[:-1]]
            seeds, expected = (of["low"] & 0xFFFFFFFF).tolist(), of["crc"].tolist()
            for n in np.flatnonzero(~intact).tolist():
                intact[n] = zlib.crc32(raw[starts[n] : ends[n]], seeds[n]) == expected[n]
            self._checked[entries] = intact
            self.forget(entries[~intact])
        return data.view(np.uint8).reshape(-1, self.unit_bytes), intact

    def forget(self, entries: np.ndarray) -> None:
        """Never find these entries again."""
        self._damaged[entries] = True

    def append(self, digests: np.ndarray, units: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Add texts' states, uint8 (sum of units, unit_bytes); returns their entries (N,).

        What another process has added meanwhile is not added again. When it raises OSError, nothing was added.
        """
        with self._locked():
            self.refresh()
            new = np.flatnonzero(self.find(digests, units) < 0)
            if len(new):
                starts = np.cumsum(units) - units
                chosen = np.ascontiguousarray(data[ragged(starts[new], units[new])])
                entries = np.zeros(len(new), ENTRY)
                entries["high"], entries["low"] = digests[new].T
                entries["units"] = units[new]
                entries["start"] = self.end + np.cumsum(units[new]) - units[new]
                bounds = np.append(0, np.cumsum(units[new])) * self.unit_bytes
                raw, seeds = chosen.reshape(-1).data, (entries["low"] & 0xFFFFFFFF).tolist()
                entries["crc"] = [zlib.crc32(raw[bounds[n] : bounds[n + 1]], seeds[n]) for n in range(len(new))]
                _write(self._states, raw, self.end * self.unit_bytes)
                whole = os.fstat(self._index.fileno()).st_size // ENTRY.itemsize * ENTRY.itemsize
                _write(self._index, entries.view(np.uint8).data, whole)
                self._seen = -1
                self.refresh()
        return self.find(digests, units)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the key for a block, in which no other process appends. Raises OSError."""
        import fcntl

        wait_for(self._lock, fcntl.LOCK_EX, self.folder / "lock")
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, ... (counts[0] numbers), then those from starts[1], and so on: int64."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def _hold(folder: Path) -> IO[bytes]:
    """Make the folder and hold its `use` file, so that no other process removes it; tells that it is used now."""
    try:
        import fcntl
    except ImportError:
        raise OSError("this system has no file locks") from None
    make_folder(folder.parent)
    with own_root(folder.parent):
        pass
    until = time.monotonic() + owned.LOCK_SECONDS
    while True:
        make_folder(folder)
        with suppress(FileNotFoundError):  # removed between the two lines, or before it was locked
            with own_folder(folder) as opened:
                shut(opened)
                use = open_own(folder / "use", opened, os.O_RDWR | os.O_CREAT)
            wait_for(use, fcntl.LOCK_SH, folder / "use")
            if os.lstat(folder / "use").st_ino == os.fstat(use.fileno()).st_ino:
                os.utime(use.fileno())
                return use
        if time.monotonic() > until:
            raise TimeoutError(f"{folder} was removed again and again")


def _write(file: IO[bytes], data: memoryview, offset: int) -> None:
    """Write and sync at an offset; where that fails, cut the file there."""
    done = 0
    os.ftruncate(file.fileno(), offset)
    try:
        while done < len(data):
            done += os.pwrite(file.fileno(), data[done:], offset + done)
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), offset)
        raise
