"""What a run keeps of which items go together: neighbours/<task>.safetensors, of tasks that rank a catalogue."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from peftrec.data.examples import Dataset, Examples, TaskData
from peftrec.data.neighbours import KEPT, Neighbours
from peftrec.errors import UserError
from peftrec.machine.files import reading


def save_neighbours(folder: Path, dataset: Dataset) -> None:
    """Write those of every task that has some."""
    for name, data in dataset.tasks.items():
        if data.train.catalogue is not None and data.train.catalogue.items is not None:
            near = data.train.catalogue.neighbours
            _file(folder, name).parent.mkdir(exist_ok=True)
            save_file({"items": near.items, "weights": near.weights}, _file(folder, name))


def load_neighbours(folder: Path, task: str, size: int) -> Neighbours:
    """Those of a task's catalogue of so many items. Raises UserError for a damaged file."""
    file = _file(folder, task)
    with reading(file):
        stored = load_file(file)
    items, weights = stored.get("items"), stored.get("weights")
    if items is None or weights is None or items.dtype != np.int32 or weights.dtype != np.float32:
        raise UserError(f"{file}: damaged: it holds items, whole numbers, and weights, numbers")
    if items.shape != weights.shape or items.ndim != 2 or len(items) != size or items.shape[1] > KEPT:
        raise UserError(f"{file}: damaged: items and weights are ({size}, {KEPT}) at most; found {items.shape}")
    if items.size and not 0 <= items.min() <= items.max() < size:
        raise UserError(f"{file}: damaged: items: the catalogue has the numbers 0 to {size - 1}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UserError(f"{file}: damaged: weights: numbers that are finite, and not below 0")
    return Neighbours(items, weights)


def with_neighbours(data: TaskData, near: Neighbours) -> TaskData:
    """A task's data, whose rows know those that a run kept, not such as are fitted to what the data are now."""

    def known(rows: Examples) -> Examples:
        assert rows.catalogue is not None
        return replace(rows, catalogue=replace(rows.catalogue, known=near))

    return replace(data, train=known(data.train), valid=known(data.valid), test=known(data.test))


def _file(folder: Path, task: str) -> Path:
    return folder / "neighbours" / f"{task}.safetensors"
