"""The adapted encoder: the one place that switches adapters and turns text rows into a task's vectors."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peftrec.data.batches import Work, buckets
from peftrec.data.texts import TextTable
from peftrec.machine import processes
from peftrec.machine.memory import return_free_memory
from peftrec.machine.stages import stage
from peftrec.model.adapters.base import Adapter, LayerAdapter, PooledAdapter
from peftrec.model.backbone import Backbone
from peftrec.model.cache.kept import KeptVectors
from peftrec.model.cache.states import TOKEN_BUDGET, Level, StateCache, Track
from peftrec.model.cache.vectors import VectorCache

# Texts whose pooled states are read at once: with MiniLM 22 MB, which stay in a processor's cache, and which the heap
# gives and takes back. From 32 MB on glibc has every tensor's pages mapped and cleared anew.
POOLED_ROWS = 2048
# Which layers' pooled states are given where more than the last one's are asked for, in sixths of the layers: what lies
# below the middle adds nothing to a linear model, and neighbours say much the same.
UPPER = (3, 4, 5, 6)
# Tokens of padding that one more run of the layers is worth on a CPU: LoRA on two layers of MiniLM, 128 tweets a step,
# takes a fifth less time. On a GPU it was not measured, and there are as few runs as the budget allows.
APART = 256


class AdaptedEncoder(nn.Module):
    """One frozen backbone, each task's adapter, and the cached output of what no adapter touches.

    recompute  keep only each bucket's output for the backward pass and compute the rest again (gradient checkpointing)
    sharded    the processes of a training share its weights out (`peftrec.training.sharding`)
    disk       whether that cached output is read from, and written to, the disk (`peftrec.model.cache.folder`)
    known      task -> its vectors of texts that are encoded no more: nothing is kept or computed for these; under None
               what the backbone says of texts with no method on it
    """

    def __init__(
        self, backbone: Backbone, texts: TextTable, adapters: dict[str, Adapter], recompute: bool = False
    ) -> None:
        super().__init__()
        self.__dict__["backbone"] = backbone
        self.texts, self.recompute, self.disk, self.sharded = texts, recompute, False, False
        self.known: dict[str | None, KeptVectors] = {}
        self._kept: dict[str, KeptVectors] = {}
        self._read: dict[Adapter, tuple[np.ndarray, tuple[Tensor, ...]]] = {}
        self.adapters = nn.ModuleList(dict.fromkeys(adapters.values()))
        self._adapter_of = dict(adapters)
        self.token_budget = TOKEN_BUDGET
        self.work = Work()
        backbone.tokenize(texts)
        layered = [a for a in self.methods if isinstance(a, LayerAdapter)]
        self.trunk = min((a.lowest for a in layered), default=backbone.num_layers)
        self.caches: dict[Level, StateCache] = {}
        if any(isinstance(a, PooledAdapter) for a in self.methods):
            self._keep(StateCache(backbone, texts, "pooled", backbone.num_layers))
        if layered and self.trunk > 0:
            self._keep(StateCache(backbone, texts, "layer", self.trunk))

    backbone: Backbone

    def _keep(self, cache: StateCache) -> None:
        """Use a cache; or, where runs over the backbone share the table, the one that another uses for the same."""
        same = (cache.level, self.trunk, self.backbone.pooling, self.backbone.config.cache_dtype)
        found = self.texts.keepers.setdefault(same if self.texts.common else id(cache), cache)
        assert isinstance(found, StateCache)
        self.caches[cache.level] = found

    def adapter_of(self, task: str) -> Adapter:
        """The task's method."""
        return self._adapter_of[task]

    @property
    def methods(self) -> list[Adapter]:
        """Every method that tasks are adapted by, once each."""
        return list(dict.fromkeys(self._adapter_of.values()))

    def level(self, task: str) -> tuple[Level, str]:
        """The cache level that serves the task, and why."""
        adapter = self.adapter_of(task)
        if isinstance(adapter, PooledAdapter):
            return "pooled", f"{adapter.config.method} reads the frozen layers' pooled states; they never change"
        if self.trunk > 0:
            return "layer", f"layer {self.trunk} is the lowest that an adapter touches; what is below never changes"
        if self.backbone.layers is None:
            return "none", "this backbone uses one layer many times, so nothing lies below the adapted part"
        return "none", "an adapter touches layer 0"

    def update(
        self, rows: Mapping[str, np.ndarray] | None = None, track: Track | None = None, together: bool = False
    ) -> None:
        """Have the frozen part ready for the text rows each task will encode; by default for the whole table.

        together  all processes of a training do this at once, and may share the work
        Rows not asked for here are computed when they are encoded, every time. Texts added since are tokenised.
        """
        with stage("encode"):
            self.backbone.tokenize(self.texts)
            for level, cache in self.caches.items():
                cache.update(None if rows is None else self.rows_of(level, rows), track, self.disk, together)

    def forget_guests(self, most: int) -> None:
        """Where the table has more than `most` guests, forget all but the half of `most` last asked for.

        So that what forgetting copies is little a text. Rows of guests mean others afterwards.
        """
        if self.texts.guests > most:
            self.texts.keep_guests(self.texts.recent_guests(most // 2))
            return_free_memory()

    def rows_of(self, level: Level, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """The rows, among each task's, whose states the cache of a level gives; ascending."""
        parts = self._parts(level, rows)
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def _parts(self, level: Level, rows: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The rows of each task that the cache of a level serves."""
        served = {task: of for task, of in rows.items() if self.level(task)[0] == level}
        return [self.known[task].lacking(of) if task in self.known else of for task, of in served.items()]

    @contextmanager
    def common_part_once(self, rows: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Inside the block, of what each task will encode, what is alike for texts of several tasks is computed once.

        This concerns what a method computes for all its tasks alike (`PooledAdapter.read`), and the frozen part of
        texts whose states neither memory nor disk has room to keep.
        """
        with ExitStack() as stack:
            for level, cache in self.caches.items():
                parts = self._parts(level, rows)
                # Sharded, all processes must run the backbone equally often, which `encode` sees to.
                if len(parts) > 1 and not self.sharded and not all(cache.in_memory(of) for of in parts):
                    stack.enter_context(cache.lending(parts))
            for adapter in self.methods:
                if not isinstance(adapter, PooledAdapter) or not adapter.reads_alike:
                    continue
                parts = [of for task, of in rows.items() if self.adapter_of(task) is adapter and task not in self.known]
                if len(parts) > 1:
                    together = np.unique(np.concatenate(parts))
                    read = [adapter.read(self.caches["pooled"].states(block)) for block in _blocks(together)]
                    self._read[adapter] = together, tuple(torch.cat(of) for of in zip(*read, strict=True))
            try:
                yield
            finally:
                self._read.clear()

    def encode(self, rows: np.ndarray, task: str) -> Tensor:
        """The task's vectors of text rows (U,), float32 (U, D)."""
        with stage("encode"):
            if (kept := self._kept.get(task, self.known.get(task))) is not None:
                return kept.of(rows, partial(self._encode, task=task))
            return self._encode(rows, task)

    @contextmanager
    def with_vectors(self, task: str, kept: KeptVectors | None) -> Iterator[None]:
        """Inside the block `encode` takes the task's vectors from there, as far as they are; None: from nowhere."""
        if kept is None:
            yield
            return
        self._kept[task] = kept
        try:
            yield
        finally:
            del self._kept[task]

    def groups(self, rows: np.ndarray) -> list[np.ndarray]:
        """Which of the rows' texts the backbone is run on together, as places in `rows`."""
        apart = APART if self.backbone.device.type == "cpu" else None
        return buckets(self.texts.tokens(rows), self.token_budget, apart)

    def _encode(self, rows: np.ndarray, task: str) -> Tensor:
        adapter = self.adapter_of(task)
        if self.training:
            self.work.encoded += len(rows)
        if isinstance(adapter, PooledAdapter):
            return self._encode_pooled(adapter, rows, task)
        groups = self.groups(rows)
        if self.sharded and self.training:
            # All processes run the backbone equally often. What is run again comes last, and is what is taken.
            groups += [np.array([0])] * (processes.largest(len(groups)) - len(groups))
        done = [self._encode_bucket(rows[g], task) for g in groups]
        if not done:
            return torch.zeros(0, self.backbone.hidden_size, device=self.backbone.device)
        order, back = np.concatenate(groups), np.empty(len(rows), np.int64)
        back[order] = np.arange(len(order))
        return torch.cat(done)[torch.from_numpy(back).to(done[0].device)]

    def _encode_pooled(self, adapter: PooledAdapter, rows: np.ndarray, task: str) -> Tensor:
        """Some texts at a time, so that no copy is made of all texts' states."""
        if adapter in self._read:
            together, read = self._read[adapter]
            place = torch.from_numpy(np.searchsorted(together, rows)).to(read[0].device)
            done = [adapter.of_read(read, some, task) for some in place.split(POOLED_ROWS)]
        else:
            done = [adapter(self.caches["pooled"].states(block), task) for block in _blocks(rows)]
        return done[0] if len(done) == 1 else torch.cat(done)

    @property
    def no_vectors(self) -> str:
        """Why there are no `frozen_vectors`; empty where there are."""
        training = [adapter.config.method for adapter in self.methods if adapter.trains_backbone]
        return f"method {training[0]} trains the backbone, and what it said before is gone" if training else ""

    def frozen_vectors(self, rows: np.ndarray, track: Track | None = None) -> np.ndarray:
        """What the backbone says of text rows (N,) with no method on it, float32 (N, D). Kept like other states.

        Only where `no_vectors` is empty.
        """
        with (
            stage("encode"),
            torch.inference_mode(False),
            torch.no_grad(),
        ):  # what is kept outlives a caller's inference mode
            known = self.known.get(None)
            found = self._frozen_vectors(rows, track) if known is None else known.of(rows, self._frozen_vectors)
        vectors: np.ndarray = found.cpu().numpy()
        return vectors

    @property
    def upper_layers(self) -> list[int]:
        """Which layers `frozen_layers` gives: of the pooled states, where 0 are the embeddings and L the output."""
        return sorted({-(-self.backbone.num_layers * sixths // 6) for sixths in UPPER})

    def keep_layers(self, rows: np.ndarray, track: Track | None = None) -> None:
        """Have the pooled states of all frozen layers of text rows computed and kept, unless they are.

        Only where `no_vectors` is empty, and likewise for `frozen_layers`.
        """
        with stage("encode"), torch.inference_mode(False), torch.no_grad():  # as of vectors
            if "pooled" not in self.caches:
                self._keep(StateCache(self.backbone, self.texts, "pooled", self.backbone.num_layers))
            self.caches["pooled"].update(rows, track, self.disk)

    def frozen_layers(self, rows: np.ndarray, track: Track | None = None) -> np.ndarray:
        """What the upper layers say of text rows (N,) with no method on them, side by side: float32 (N, K D)."""
        self.keep_layers(rows, track)
        with stage("encode"), torch.inference_mode(False), torch.no_grad():
            some = [self.caches["pooled"].states(block, self.upper_layers) for block in _blocks(rows)]
            found: np.ndarray = torch.cat(some).flatten(1).float().cpu().numpy()
        return found

    def _frozen_vectors(self, rows: np.ndarray, track: Track | None = None) -> Tensor:
        if "pooled" in self.caches:
            self.caches["pooled"].update(rows, track, self.disk)
            found = torch.cat([self.caches["pooled"].states(block, -1) for block in _blocks(rows)])
        else:
            if "vectors" not in self.caches:
                self._keep(VectorCache(self.backbone, self.texts, self.caches.get("layer")))
            self.caches["vectors"].update(rows, track, self.disk)
            found = self.caches["vectors"].states(rows)
        return found.float()

    def _encode_bucket(self, rows: np.ndarray, task: str) -> Tensor:
        adapter = self.adapter_of(task)
        assert isinstance(adapter, LayerAdapter)
        ids, mask, types = (t.to(self.backbone.device) for t in self.texts.pad(rows))
        if self.training:
            self.work.tokens += int(self.texts.tokens(rows).sum())
            self.work.padded_tokens += ids.numel()
        states = self.caches["layer"].states(rows) if self.trunk > 0 else None

        def run(states: Tensor | None) -> Tensor:
            with self.active(task):  # here, because recomputation comes later
                hidden = adapter.run(task, ids, mask, types, states, self.trunk)
            return self.backbone.pool(hidden, mask).float()

        if self.recompute and torch.is_grad_enabled():
            return checkpoint(run, states, use_reentrant=False)
        return run(states)

    @contextmanager
    def active(self, task: str) -> Iterator[None]:
        """Inside the block the task's modules, and no others, take part in a forward; outside the backbone is plain.

        So that other encoders may use it, too. No weights move.
        """
        adapter = self.adapter_of(task)
        if not isinstance(adapter, LayerAdapter):
            yield
            return
        adapter.activate(task)
        try:
            yield
        finally:
            adapter.activate(None)

    def after_step(self, step: int, total: int) -> None:
        """Let every method do what it does between optimiser steps (AdaLoRA prunes)."""
        for adapter in self.methods:
            adapter.after_step(step, total)

    @property
    def settled(self) -> bool:
        """Whether every method's weights may be chosen as a run's best."""
        return all(adapter.settled for adapter in self.methods)

    def load(self, folders: Mapping[str, Path]) -> None:
        """Fill every owner's part from the folder of the first task that has it, into `as_saved` configurations."""
        loaded: set[str] = set()
        for task, folder in folders.items():
            adapter = self.adapter_of(task)
            for owner in adapter.owners_of(task):
                if owner not in loaded:
                    adapter.load(owner, folder)
                    loaded.add(owner)

    def parameters_by_owner(self) -> dict[str, dict[str, nn.Parameter]]:
        """Owner (a shared part, or a task) -> the adapter parameters it owns."""
        return {
            owner: parameters
            for adapter in self.methods
            for owner in adapter.owners
            if (parameters := adapter.parameters_of(owner))
        }


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    """The rows, at least one block, at most POOLED_ROWS at a time."""
    return np.split(rows, range(POOLED_ROWS, len(rows), POOLED_ROWS))
