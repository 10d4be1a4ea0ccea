"""What goes together or has texts alike, in a run: neighbours/<task>.safetensors, of tasks that rank a catalogue."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from peftrec.data.dataset import Dataset
from peftrec.data.neighbours import KEPT, Neighbours
from peftrec.errors import UserError
from peftrec.machine.files import reading

ALIKE = "alike."  # before the names of what tells whose texts are alike


def save_neighbours(folder: Path, dataset: Dataset) -> None:
    """Write those of every task that has some."""
    for name, data in dataset.tasks.items():
        catalogue = data.train.catalogue
        if catalogue is not None and catalogue.items is not None:
            _file(folder, name).parent.mkdir(exist_ok=True)
            kept = {"items": catalogue.neighbours.items, "weights": catalogue.neighbours.weights}
            if catalogue.alike is not None:
                kept |= {f"{ALIKE}items": catalogue.alike.items, f"{ALIKE}weights": catalogue.alike.weights}
            save_file(kept, _file(folder, name))


def load_neighbours(folder: Path, task: str, size: int) -> tuple[Neighbours, Neighbours | None]:
    """Which go together of a task's catalogue of so many items, and whose texts are alike, where that counts. Raises
    UserError for a damaged file."""
    file = _file(folder, task)
    with reading(file):
        stored = load_file(file)
    alike = any(key.startswith(ALIKE) for key in stored)
    return _read(file, stored, "", size), _read(file, stored, ALIKE, size) if alike else None


def _read(file: Path, stored: dict[str, np.ndarray], of: str, size: int) -> Neighbours:
    items, weights = stored.get(f"{of}items"), stored.get(f"{of}weights")
    if items is None or weights is None or items.dtype != np.int32 or weights.dtype != np.float32:
        raise UserError(f"{file}: damaged: it holds {of}items, whole numbers, and {of}weights, numbers")
    if items.shape != weights.shape or items.ndim != 2 or len(items) != size or items.shape[1] > KEPT:
        raise UserError(f"{file}: damaged: {of}items and {of}weights are ({size}, {KEPT}) at most; found {items.shape}")
    if items.size and not 0 <= items.min() <= items.max() < size:
        raise UserError(f"{file}: damaged: {of}items: the catalogue has the numbers 0 to {size - 1}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UserError(f"{file}: damaged: {of}weights: numbers that are finite, and not below 0")
    return Neighbours(items, weights)


def _file(folder: Path, task: str) -> Path:
    return folder / "neighbours" / f"{task}.safetensors"
