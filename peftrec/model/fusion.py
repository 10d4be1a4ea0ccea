"""Fusion: an item's vector is what the encoder makes of its text, what was learned of the item, and its features."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset
from peftrec.data.features import Encoding, FeatureTable, fit_encoding
from peftrec.recipe import FusionConfig
from peftrec.tasks.features import FeatureLayer

SHARED = "shared"  # the owner of what all tasks learn together; no task has this name
Place = tuple[str, str]  # owner and catalogue


def item_rows(items: Mapping[str, ItemTexts]) -> np.ndarray:
    """The text rows int32 (I,) of all catalogues' items, one catalogue after the other: the place of an item among them
    is its number here."""
    return np.concatenate([of.rows for of in items.values()]) if items else np.zeros(0, np.int32)


class Learned(nn.Module):
    """What is learned of each of some items beside its text: `table` (S, q), at first 0, read into vectors by `out`
    (q, D).

    items  int64 (S,): their numbers, no two of one text; see `item_rows`
    rows   int (I,): the text row of every item, of so many `texts`
    """

    def __init__(self, items: np.ndarray, rows: np.ndarray, texts: int, dim: int, width: int) -> None:
        super().__init__()
        self.items = items
        # Of every text row; the last is of rows that come later, such as the texts of requests.
        self._place = np.full(texts + 1, -1, np.int64)
        self._place[rows[items]] = np.arange(len(items))
        self.table = nn.Parameter(torch.zeros(len(items), dim))
        self.out = nn.Parameter(torch.randn(dim, width) / dim**0.5)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where text rows (U,) stand in the table, int64 (U,); -1 of those of which nothing is learned."""
        found: np.ndarray = self._place[np.minimum(rows, len(self._place) - 1)]
        return found

    def forward(self, vectors: Tensor, rows: np.ndarray, dropout: float) -> Tensor:
        """The vectors (U, D) of text rows (U,), those of known items moved, by as much of their own size as was
        learned; a share `dropout` of them, drawn for the step, stays as their texts have them."""
        places = self.places(rows)
        moved = np.flatnonzero((places >= 0) & ~_dropped(places, dropout))
        index, place = (torch.from_numpy(of).to(vectors.device) for of in (moved, places[moved]))
        # Sparse: a step costs what its own items cost, however many there are.
        return _moved(vectors, index, F.embedding(place, self.table, sparse=True) @ self.out)


class Described(nn.Module):
    """What the features of a catalogue's items add to their vectors, at first nothing.

    encoding  how the features are read
    features  of every item (I,)
    rows      int (I,): their text rows, of so many `texts`
    """

    def __init__(self, encoding: Encoding, features: FeatureTable, rows: np.ndarray, texts: int, width: int) -> None:
        super().__init__()
        self.encoding, self._values = encoding, encoding.encode(features)
        self._item = np.full(texts + 1, -1, np.int64)  # of every text row, as `Learned` has it
        self._item[rows[::-1]] = np.arange(len(rows))[::-1]  # items of one text are as the first of them
        self.layer = FeatureLayer(encoding.columns, width)

    def forward(self, vectors: Tensor, rows: np.ndarray) -> Tensor:
        """The vectors (U, D) of text rows (U,), those of the catalogue's items moved, by as much of their own size as
        was learned of their features."""
        item = self._item[np.minimum(rows, len(self._item) - 1)]
        return self.moved(vectors, np.flatnonzero(item >= 0), self._values[item[item >= 0]])

    def moved(self, vectors: Tensor, place: np.ndarray, values: np.ndarray) -> Tensor:
        """The vectors (U, D), those at places (M,) moved by features (M, F)."""
        index, known = (torch.from_numpy(of).to(vectors.device) for of in (place, values))
        return _moved(vectors, index, self.layer(known))


def _moved(vectors: Tensor, index: Tensor, by: Tensor) -> Tensor:
    """The vectors (U, D), those at `index` (M,) moved by as much of their own size as `by` (M, D) says."""
    size = vectors.detach()[index].square().mean(-1, keepdim=True).sqrt()
    return vectors.index_add(0, index, (size * by).to(vectors.dtype))


def _dropped(places: np.ndarray, share: float) -> np.ndarray:
    """Which places (U,) a step leaves out, bool: a function of the step's seed and of the place alone, so that its
    gradient does not depend on how tasks and processes cut its rows into pieces."""
    # Above 40 bits are the processes, see `training.step.seed_step`.
    step = np.full(1, torch.initial_seed() & ((1 << 40) - 1), np.uint64)
    mixed = places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + step * np.uint64(0xD1B54A32D192ED03)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # Steele et al. 2014, SplitMix
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    found: np.ndarray = (mixed >> np.uint64(40)) < np.uint64(round(share * (1 << 24)))
    return found


class Fusion(nn.Module):
    """Text vectors of items -> the same with what was learned of the items: read by every head that has items.

    An item that training hardly or never saw is its text and its features; every text that is none of an item stays as
    it is.

    owners      task -> whose part it reads, SHARED or its own; tasks without one are left out
    parts       what was learned of items, by owner
    catalogues  task -> the catalogue that its items are of
    described   what their features add, by owner and catalogue
    """

    def __init__(
        self,
        config: FusionConfig,
        owners: Mapping[str, str] | None = None,
        parts: Mapping[str, Learned] | None = None,
        catalogues: Mapping[str, str] | None = None,
        described: Mapping[Place, Described] | None = None,
    ) -> None:
        super().__init__()
        self.dropout, self.owners, self.parts = config.dropout, dict(owners or {}), dict(parts or {})
        self.catalogues, self.described = dict(catalogues or {}), dict(described or {})
        self.held = nn.ModuleList([*self.parts.values(), *self.described.values()])

    def part_of(self, task: str) -> Learned | None:
        """What was learned of the items that the task reads; None where nothing was."""
        return self.parts.get(self.owners.get(task, ""))

    def described_for(self, task: str) -> Described | None:
        """What the features of the task's items add; None where they add nothing."""
        return self.described.get((self.owners.get(task, ""), self.catalogues.get(task, "")))

    def read_by(self, task: str) -> list[nn.Module]:
        """All that the task reads."""
        return [part for part in (self.part_of(task), self.described_for(task)) if part is not None]

    def forward(self, vectors: Tensor, rows: np.ndarray, task: str) -> Tensor:
        """The task's vectors (U, D) of text rows (U,) that the encoder gave."""
        fused, described = self._learned(vectors, rows, task), self.described_for(task)
        return fused if described is None else described(fused, rows)

    def brought(self, vectors: Tensor, rows: np.ndarray, features: np.ndarray, task: str) -> Tensor:
        """The task's vectors (N, D) of items that the catalogue lacks: text rows (N,) and features (N, F) as the
        encoding of `described_for` has them."""
        described = self.described_for(task)
        assert described is not None
        return described.moved(self._learned(vectors, rows, task), np.arange(len(rows)), features)

    def _learned(self, vectors: Tensor, rows: np.ndarray, task: str) -> Tensor:
        part = self.part_of(task)
        if part is None:
            return vectors
        moved: Tensor = part(vectors, rows, self.dropout if self.training else 0.0)
        return moved

    def named(self) -> dict[str, nn.Parameter]:
        """Its parameters, as owner/name, of features owner/features/catalogue/name."""
        named = {f"{owner}/{name}": p for owner, part in self.parts.items() for name, p in part.named_parameters()}
        for (owner, of), part in self.described.items():
            named |= {f"{owner}/features/{of}/{name}": p for name, p in part.layer.named_parameters()}
        return named


def make_fusion(
    config: FusionConfig,
    items: Mapping[str, ItemTexts],
    catalogues: Mapping[str, str],
    known: Mapping[str, np.ndarray],
    encodings: Mapping[Place, Encoding],
    texts: int,
    width: int,
) -> Fusion:
    """One that begins at nothing.

    catalogues  task -> the catalogue that its items are of, '' without
    known       owner -> the numbers of items that something is learned of; those of one text are one
    encodings   owner and catalogue -> how features are read, of those that have any
    """
    rows, parts = item_rows(items), {}
    for owner, numbers in known.items():
        first = np.sort(np.unique(rows[numbers], return_index=True)[1])
        parts[owner] = Learned(numbers[first], rows, texts, config.dim, width)
    described = {
        (owner, of): Described(encoding, items[of].features, items[of].rows, texts, width)
        for (owner, of), encoding in encodings.items()
    }
    return Fusion(config, owners_of(config, catalogues), parts, catalogues, described)


def new_fusion(
    config: FusionConfig,
    dataset: Dataset,
    width: int,
    more: Mapping[str, np.ndarray],
    encodings: Mapping[Place, Encoding],
) -> Fusion:
    """One that begins at nothing, for the items of enough of a task's train rows, and `more` by owner; features are
    read as `encodings` has it, else as the train rows of all tasks that read them together would have it."""
    catalogues = {name: data.items for name, data in dataset.tasks.items()}
    owners, rows, known = owners_of(config, catalogues), item_rows(dataset.items), dict(more)
    for task, owner in owners.items() if config.items else ():
        train = dataset.tasks[task].train
        named = np.asarray(train.slots.get("item", np.zeros(0, np.int32)))  # pairs of query and item name no item alone
        seen = np.flatnonzero(np.bincount(named, minlength=len(dataset.texts))[rows] >= config.least)
        known[owner] = np.union1d(known[owner], seen) if owner in known else seen
    known = {owner: numbers for owner, numbers in known.items() if len(numbers)}
    trained: dict[Place, list[np.ndarray]] = {}
    for task, owner in owners.items() if config.features else ():
        if dataset.items_of(task).features:
            trained.setdefault((owner, catalogues[task]), []).append(np.asarray(dataset.tasks[task].train.item))
    read = {
        place: encodings.get(place) or fit_encoding(dataset.items[place[1]].features, np.concatenate(numbers))
        for place, numbers in trained.items()
    }
    return make_fusion(config, dataset.items, catalogues, known, read, len(dataset.texts), width)


def owners_of(config: FusionConfig, catalogues: Mapping[str, str]) -> dict[str, str]:
    """Whose part each task reads, of tasks and the catalogues that their items are of, '' where they have none."""
    of_tasks = [task for task, of in catalogues.items() if (config.items or config.features) and of]
    return {task: task if config.sharing == "private" else SHARED for task in of_tasks}
