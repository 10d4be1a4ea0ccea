"""The frozen part's output for rows of a text table, computed once: token states, or a pooled vector per layer."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from peftrec.data.batches import buckets
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.caching import cache_root
from peftrec.machine.memory import free_main_memory_mb, return_free_memory
from peftrec.machine.precision import DTYPES
from peftrec.machine.progress import note
from peftrec.machine.tensors import finite
from peftrec.model.backbone import Backbone
from peftrec.model.cache.disk import DiskStates, open_disk
from peftrec.model.cache.key import describe_key, key_name
from peftrec.model.cache.store import ragged

Level = Literal["none", "layer", "pooled", "vectors"]
Track = Callable[[Iterable[np.ndarray], int, str], Iterable[np.ndarray]]

# Tokens in one forward of the frozen part: large enough for full speed on a CPU; twice as many take 230 MB more.
TOKEN_BUDGET = 4096
SAMPLE_TOKENS = 2048  # computed to estimate the time of all
READ_BYTES = 32 << 20  # read from disk at a time


class StateCache:
    """The frozen part's output for rows of a text table.

    Level `layer`: token states entering layer `layer`; a unit is a token's (D,). Level `pooled`: a unit is a text's
    (L + 1, D). Units are held in `backbone.cache_dtype`, which is the compute dtype unless the recipe says otherwise.

    States that were asked for lie in memory, in the order of rows, when half of what is free has room for them; else
    they are read from the disk's memory-mapped file; else they are computed whenever they are needed. With `disk` they
    are looked for and written there. Those of the table's guests, the texts of requests, are never written, and each
    lies by itself in memory, so that `keep_guests` can forget it.
    """

    def __init__(self, backbone: Backbone, texts: TextTable, level: Level, layer: int) -> None:
        self.backbone, self.texts, self.level, self.layer = backbone, texts, level, layer
        stored = backbone.config.cache_dtype
        dtype = backbone.dtype if stored == "auto" else DTYPES[stored]
        width = (backbone.num_layers + 1, backbone.hidden_size) if level == "pooled" else (backbone.hidden_size,)
        self._unit = torch.empty((1, *width), dtype=dtype)
        self._memory = self._unit[:0]  # (capacity, *width), the first `_filled` in use
        self._filled = 0
        self._guests: dict[int, Tensor] = {}  # row -> its units
        self._place = np.zeros(0, np.int64)  # (V,) first unit in memory (a guest's: 0), or -1
        self._entry = np.zeros(0, np.int64)  # (V,) entry on disk, or -1
        self._disk: DiskStates | None = None
        self._opened, self._no_room = False, False  # room neither in memory nor on disk, which is said once
        self._lent: tuple[np.ndarray, Tensor, np.ndarray] | None = None  # rows ascending; units; where each begins

    def units(self, rows: np.ndarray) -> np.ndarray:
        """Units of each row (N,): its tokens, or 1."""
        return self.texts.tokens(rows) if self.level == "layer" else np.ones(len(rows), np.int64)

    def bytes(self, rows: np.ndarray) -> int:
        """What the states of `rows` take, in memory as on disk."""
        return int(self.units(rows).sum()) * self._unit.nbytes

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` that neither memory nor disk has; nothing is read, computed or made."""
        self._follow_table()
        new = rows[self._nowhere(rows)]
        disk = self._open(make=False)
        return new if disk is None else new[disk.find(new) < 0]

    @torch.no_grad()
    def build_seconds(self, rows: np.ndarray) -> float:
        """About how long computing `rows` takes, from trying one of them, and if that is quick, a small batch."""
        if not len(rows):
            return 0.0
        middle = rows[np.argsort(self.texts.tokens(rows), kind="stable")]
        middle = middle[len(rows) // 2 :]  # of middle length, so that the batch is hardly padded
        for count in (1, max(1, SAMPLE_TOKENS // int(self.texts.tokens(middle[:1])[0]))):
            some, started = middle[:count], time.monotonic()
            self.compute(some)
            seconds = time.monotonic() - started
            if seconds > 0.5:
                break
        return seconds * self.texts.tokens(rows).sum() / self.texts.tokens(some).sum()

    def in_memory(self, rows: np.ndarray) -> bool:
        """Whether `states` can answer for all of `rows` without disk or backbone."""
        self._follow_table()
        return bool((self._place[rows] >= 0).all())

    @torch.inference_mode(False)
    @torch.no_grad()
    def update(
        self, rows: np.ndarray | None = None, track: Track | None = None, disk: bool = False, together: bool = False
    ) -> None:
        """Have the states of `rows` (default: the whole table) ready: read from disk, else computed and kept.

        With `track(batches, total, what)`, which shows progress, a line says what there is to do. When all processes of
        a training do this `together`, each computes a share for the disk, where the others find it; without a common
        disk each computes everything. Raises UserError for states that are not finite.
        """
        self._follow_table()
        rows = np.arange(len(self.texts)) if rows is None else np.unique(rows)
        new = rows[self._nowhere(rows)]
        self.backbone.used.found += len(rows) - len(new)
        if not len(new):
            return  # in all processes alike
        if disk:
            self._open()
        place = self._reserve(new)
        done = np.zeros(len(new), bool) if self._disk is None else self._load(new, place)
        if track is not None and not self._no_room:
            self._say(new, done, place is not None)
        if together and processes.count() > 1 and self._disk is not None:
            processes.on_each(lambda: None)  # nobody writes before all have looked
            processes.on_each(lambda: self._build(new, place, done, track, processes.number(), processes.count()))
            self._disk.refresh()
            done = self._load(new, place) if place is None else self._load_rest(new, place)
        self._build(new, place, done, track)

    @torch.no_grad()
    def rehearse(self, rows: np.ndarray) -> None:
        """Have states of `rows` in memory as `update` would, except that what is not on disk is made up, not computed.

        Of what is missing the largest batch is computed, and repeated for the rest. Nothing is made on disk. Rows that
        memory has no room for are left to be computed whenever they are needed.
        """
        self._follow_table()
        new = rows[self._nowhere(rows)]
        place = self._reserve(new)
        done = np.zeros(len(new), bool) if self._open(make=False) is None else self._load(new, place)
        left = new[~done]
        if len(left) and place is not None:
            some = self.compute(left[buckets(self.texts.tokens(left), TOKEN_BUDGET)[0]])
            times = -(-int(self.units(left).sum()) // len(some))
            self._keep(left, place[~done], some.repeat(times, *[1] * (some.ndim - 1))[: int(self.units(left).sum())])

    @torch.inference_mode(False)
    @torch.no_grad()
    def states(self, rows: np.ndarray, part: Any = slice(None)) -> Tensor:
        """States of `rows` in the compute dtype: (U, L + 1, D), `part` of each, or (U, T, D) padded with copies."""
        together = self.in_memory(rows) and bool((rows < self.texts.own).all())
        whole, place = (self._memory, self._place[rows]) if together else self._collect(rows)
        held = whole[:, part]
        if self.level == "layer":
            units = self.units(rows)
            steps = np.minimum(np.arange(units.max(initial=0))[None], units[:, None] - 1)
            found = held[torch.from_numpy(place[:, None] + steps)]
        elif len(rows) and (np.diff(place) == 1).all():
            found = held[place[0] : place[0] + len(rows)]  # no copy
        else:
            found = held[torch.from_numpy(place)]
        return found.to(self.backbone.device, self.backbone.dtype)

    @contextmanager
    def lending(self, parts: list[np.ndarray]) -> Iterator[None]:
        """Until the block's end have at hand what several of `parts` (rows, each once) share and is kept nowhere."""
        self._follow_table()
        rows, times = np.unique(np.concatenate([part[self._nowhere(part)] for part in parts]), return_counts=True)
        if len(rows := rows[times > 1]):
            with torch.inference_mode(False), torch.no_grad():
                self._lent = (rows, *self._collect(rows))
        try:
            yield
        finally:
            self._lent = None

    def keep_guests(self, rows: np.ndarray) -> None:
        """Forget the states of all guests but `rows` (ascending). Called by the table, before it does the same."""
        self._follow_table()
        own, guests = self.texts.own, enumerate(rows.tolist(), self.texts.own)
        self._guests = {new: self._guests[row] for new, row in guests if row in self._guests}
        self._place = np.append(self._place[:own], self._place[rows])
        self._entry = np.append(self._entry[:own], self._entry[rows])

    def compute(self, rows: np.ndarray) -> Tensor:
        """The units of `rows` one after the other, from the backbone, in main memory and the storage dtype."""
        with self.backbone.used.running(len(rows)):
            computed = self._run(rows, *(t.to(self.backbone.device) for t in self.texts.pad(rows)))
        units = computed.to("cpu", self._unit.dtype)
        if not finite(units):
            parts = torch.split(units, self.units(rows).tolist())
            text = next(self.texts.texts[row] for row, part in zip(rows, parts, strict=True) if not finite(part))
            key, dtype = ("cache_dtype", units.dtype) if finite(computed) else ("dtype", computed.dtype)
            raise UserError(
                f"backbone.{key}: {str(dtype).removeprefix('torch.')} does not hold the states of the text "
                f"{text[:60]!r}, which are too large; choose bf16 or fp32"
            )
        return units

    def _run(self, rows: np.ndarray, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        if self.level == "pooled":
            return self.backbone.pooled_layers(ids, mask, types)
        return self.backbone.run(ids, mask, types, stop=self.layer)[mask.bool()]

    def _nowhere(self, rows: np.ndarray) -> np.ndarray:
        """Which of `rows` neither memory nor disk has, as far as looked up, bool (N,)."""
        nowhere: np.ndarray = (self._place[rows] < 0) & (self._entry[rows] < 0)
        return nowhere

    def _follow_table(self) -> None:
        if added := len(self.texts) - len(self._place):
            self._place = np.append(self._place, np.full(added, -1))
            self._entry = np.append(self._entry, np.full(added, -1))

    def _open(self, make: bool = True) -> DiskStates | None:
        if not self._opened:
            key = describe_key(self.backbone, self.level, self.layer, self._unit.dtype)
            folder = cache_root() / key_name(key)
            if make or os.path.lexists(folder):
                self._opened = True
                described = {"name": self.backbone.config.name, **key}
                self._disk = open_disk(folder, described, self.texts, self.units, self._unit)
        return self._disk

    def _reserve(self, rows: np.ndarray) -> np.ndarray | None:
        """First units in memory for the states of `rows` (N,), guests' 0; None where memory has no room for them."""
        if self.bytes(rows) > free_main_memory_mb() * 1e6 / 2 / processes.local_count():
            return None
        counts = np.where(rows < self.texts.own, self.units(rows), 0)
        ends = self._filled + np.cumsum(counts)
        if ends[-1] > len(self._memory):
            # Half as much again, so that what is added little by little is not copied each time.
            capacity = max(int(ends[-1]), self._filled * 3 // 2)
            grown = self._unit.new_empty((capacity, *self._unit.shape[1:]))
            grown[: self._filled] = self._memory[: self._filled]
            self._memory = grown
        self._filled = int(ends[-1])
        return np.where(rows < self.texts.own, ends - counts, 0)

    def _keep(self, rows: np.ndarray, place: np.ndarray, units: Tensor) -> None:
        own = rows < self.texts.own
        self._memory[torch.from_numpy(ragged(place[own], self.units(rows[own])))] = self._of(units, rows, own)
        if not own.all():
            parts = torch.split(units, self.units(rows).tolist())
            self._guests |= {row: parts[n].clone() for n, row in enumerate(rows.tolist()) if row >= self.texts.own}
        self._place[rows] = place

    def _load(self, rows: np.ndarray, place: np.ndarray | None) -> np.ndarray:
        """Take what the disk has of `rows`, into memory at `place` or by entry only; returns which it had (N,)."""
        assert self._disk is not None
        entries = self._disk.find(rows)
        if place is None:
            self._entry[rows] = entries
            return entries >= 0
        order = np.argsort(entries, kind="stable")  # as they lie on disk
        order = order[entries[order] >= 0]
        for part in np.array_split(order, self.bytes(rows[order]) // READ_BYTES + 1):
            units, intact = self._disk.read(entries[part])
            good = part[intact]
            self._keep(rows[good], place[good], self._of(units, rows[part], intact))
        return self._place[rows] >= 0

    def _load_rest(self, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Take what the disk has now of those `rows` that are not yet in memory; returns which are (N,)."""
        rest = self._place[rows] < 0
        self._load(rows[rest], place[rest])
        return self._place[rows] >= 0

    def _build(
        self,
        rows: np.ndarray,
        place: np.ndarray | None,
        done: np.ndarray,
        track: Track | None,
        first: int = 0,
        every: int = 1,
    ) -> None:
        """Compute those of `rows` that are not `done`, into memory at `place` and onto the disk.

        Of the batches, longest texts first, only the `first`, from 0, and each that is `every` further.
        """
        rows, place = rows[~done], None if place is None else place[~done]
        if not len(rows):
            return
        disk, own = self._disk, rows < self.texts.own
        if disk is not None:
            disk.make_room(self.bytes(rows[own]))
        groups, what = buckets(self.texts.tokens(rows), TOKEN_BUDGET)[first::every], f"frozen part, {self.level} states"
        try:
            for group in groups if track is None else track(groups, sum(map(len, groups)), what):
                if place is None and (disk is None or not disk.writes):
                    if not self._no_room:
                        note("neither memory nor disk has room for the frozen part's states: computed whenever needed")
                    self._no_room = True
                    break
                units = self.compute(rows[group])
                if place is not None:
                    self._keep(rows[group], place[group], units)
                if disk is not None:
                    disk.add(rows[group][own[group]], self._of(units, rows[group], own[group]))
        finally:  # interrupted, too: the next run goes on from here
            if disk is not None:
                disk.flush()
                if place is None:
                    self._entry[rows] = disk.find(rows)
        if len(groups) > 1:  # not after a request's few texts
            return_free_memory()  # a forward's, up to 200 MB that training would come on top of

    def _collect(self, rows: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Units of `rows` from memory, disk and backbone, and where each row's begin (N,)."""
        counts = self.units(rows)
        starts = np.cumsum(counts) - counts
        units = self._unit.new_empty((int(counts.sum()), *self._unit.shape[1:]))

        def put(some: np.ndarray, found: Tensor) -> None:
            units[torch.from_numpy(ragged(starts[some], counts[some]))] = found

        here = np.flatnonzero((self._place[rows] >= 0) & (rows < self.texts.own))
        put(here, self._memory[torch.from_numpy(ragged(self._place[rows[here]], counts[here]))])
        guests = np.flatnonzero((self._place[rows] >= 0) & (rows >= self.texts.own))
        if len(guests):
            put(guests, torch.cat([self._guests[row] for row in rows[guests].tolist()]))
        there = np.flatnonzero((self._place[rows] < 0) & (self._entry[rows] >= 0))
        if len(there):
            assert self._disk is not None
            found, intact = self._disk.read(self._entry[rows[there]])
            if not intact.all():
                self._entry[damaged := rows[there[~intact]]] = -1
                self.update(damaged)
                return self._collect(rows)
            put(there, found)
        nowhere = np.flatnonzero(self._nowhere(rows))
        if self._lent is not None:
            held, lent, begin = self._lent
            lends = np.isin(rows[nowhere], held)
            some, nowhere = nowhere[lends], nowhere[~lends]
            put(some, lent[torch.from_numpy(ragged(begin[np.searchsorted(held, rows[some])], counts[some]))])
        for group in buckets(self.texts.tokens(rows[nowhere]), TOKEN_BUDGET):
            put(nowhere[group], self.compute(rows[nowhere[group]]))
        return units, starts

    def _of(self, units: Tensor, rows: np.ndarray, some: np.ndarray) -> Tensor:
        """The units of `some` (N,) bool of `rows` among all of theirs."""
        return units if some.all() else units[torch.from_numpy(np.repeat(some, self.units(rows)))]

    def _say(self, rows: np.ndarray, done: np.ndarray, in_memory: bool) -> None:
        where = "in memory" if in_memory else "on disk, for which memory has no room"
        line = f"frozen part, {self.level} states of {len(rows):,} texts: {self.bytes(rows) / 1e6:,.1f} MB {where}"
        if self._disk is not None:
            line += f"; {done.sum():,} from the cache {self._disk.folder}, {(~done).sum():,} to compute"
        note(line)
