"""What the tasks' encoders made of items' texts when the training ended, in a run: catalogue.safetensors.

<task>   float32 (I, D): of every item of the task's catalogue, in its order; of tasks whose vectors are equal the first
         has them for all
frozen/<catalogue>   the same by the backbone alone, of catalogues of tasks whose heads begin at something

It spares whoever loads the run the encoding of its catalogue. It is read where the backbone computes in the dtype of
then, which the file names, and is missing where a catalogue is too large, and in runs of earlier versions.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset
from peftrec.errors import UserError
from peftrec.machine.files import reading
from peftrec.machine.tensors import finite
from peftrec.model.cache.kept import KeptVectors
from peftrec.model.co_learner import CoLearner
from peftrec.tasks.starts import start_of

FILE = "catalogue.safetensors"
FROZEN = "frozen/"
MOST_ITEMS = 1 << 15  # of a catalogue: with MiniLM 50 MB a task
MOST_BYTES = 1 << 28  # of the file


def save_encoded(folder: Path, dataset: Dataset, model: CoLearner) -> None:
    """Encode the catalogues of tasks that read items' texts, and write what came of it; nothing where there are none,
    or the processes of a training share the weights out."""
    tasks = {name: data.items for name, data in dataset.tasks.items() if data.items and "item" in data.train.slots}
    begun = {name: start_of(dataset.tasks[name]) is not None and not model.no_vectors for name in tasks}
    kept: dict[str, torch.Tensor] = {}
    left, width = MOST_BYTES, model.encoder.backbone.hidden_size
    for name, task, of in _tensors(model, tasks, begun):
        items = dataset.items[of]
        size = len(items) * width * 4
        if model.encoder.sharded or len(items) > MOST_ITEMS or size > left:
            continue
        left -= size
        rows, place = np.unique(items.rows.astype(np.int64), return_inverse=True)
        if task is None:
            vectors = torch.from_numpy(model.encoder.frozen_vectors(rows))
        else:
            model.encoder.update({task: rows})
            vectors = model.encoded(task, rows).vectors.cpu()
        kept[name] = vectors[torch.from_numpy(place)]
    if kept:
        # One thing alone: of several the writer has no order, and the same run would have other bytes.
        save_file(kept, folder / FILE, {"dtype": str(model.encoder.backbone.dtype)})


def load_encoded(
    folder: Path, described: Mapping[str, Mapping[str, Any]], items: Mapping[str, ItemTexts], model: CoLearner
) -> dict[str | None, KeptVectors]:
    """Each task's vectors of its items, as far as the run has them, by the items' text rows; under None those of the
    backbone alone. `described`: tasks of model.json. Raises UserError for a damaged file."""
    file = folder / FILE
    if not file.exists():
        return {}
    with reading(file):
        with safe_open(file, "pt") as opened:
            dtype = (opened.metadata() or {}).get("dtype")
        if dtype != str(model.encoder.backbone.dtype):
            return {}
        stored = load_file(file)
    tasks = {name: of["items"] for name, of in described.items() if of["items"] and "item" in of["slots"]}
    begun = {name: bool(described[name].get("start")) and not model.no_vectors for name in tasks}
    found: dict[str | None, list[KeptVectors]] = {}
    for name, task, of in _tensors(model, tasks, begun):
        if name in stored:
            known = _of_items(file, name, stored.pop(name), items[of], model)
            alike = [None] if task is None else [other for other in tasks if _same(model, tasks, task, other)]
            for other in alike:
                found.setdefault(other, []).append(known)
    if stored:
        raise UserError(f"{file}: damaged: {min(stored)}: the run encodes no items so")
    return {task: _together(of) for task, of in found.items()}


def _tensors(
    model: CoLearner, tasks: Mapping[str, str], begun: Mapping[str, bool]
) -> Iterator[tuple[str, str | None, str]]:
    """What is kept of tasks, each with its catalogue: the tensor's name, the task, None: the backbone alone, and the
    catalogue. `begun`: whether a task's head begins at what the backbone says."""
    for task, of in tasks.items():
        if task == next(other for other in tasks if _same(model, tasks, task, other)):
            yield task, task, of
    for of in dict.fromkeys(of for task, of in tasks.items() if begun[task]):
        yield f"{FROZEN}{of}", None, of


def _same(model: CoLearner, tasks: Mapping[str, str], one: str, other: str) -> bool:
    """Whether two tasks have the same vectors of the same items."""
    keys = [(model.encoder.adapter_of(task).encodes_alike(task), tasks[task]) for task in (one, other)]
    return keys[0] == keys[1]


def _of_items(file: Path, name: str, vectors: torch.Tensor, items: ItemTexts, model: CoLearner) -> KeptVectors:
    """A stored tensor as vectors of the items' text rows. Raises UserError."""
    wanted = (len(items), model.encoder.backbone.hidden_size)
    if vectors.dtype != torch.float32 or tuple(vectors.shape) != wanted:
        found = f"{vectors.dtype} {tuple(vectors.shape)}"
        raise UserError(f"{file}: damaged: {name}: float32 {wanted}; found {found}")
    if not finite(vectors):
        raise UserError(f"{file}: {name} holds numbers that are not finite")
    rows, place = np.unique(items.rows.astype(np.int64), return_index=True)
    return KeptVectors(rows, vectors[torch.from_numpy(place)].to(model.encoder.backbone.device))


def _together(parts: list[KeptVectors]) -> KeptVectors:
    """Vectors of several catalogues, which may have texts in common."""
    if len(parts) == 1:
        return parts[0]
    rows, place = np.unique(np.concatenate([of.rows for of in parts]), return_index=True)
    vectors = torch.cat([of.vectors for of in parts])
    return KeptVectors(rows, vectors[torch.from_numpy(place).to(vectors.device)])
