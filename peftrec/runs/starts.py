"""What heads begin at, in a run: `starts/<task>.safetensors`, and the entry `start` of the task in model.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from peftrec.data.dataset import TaskData
from peftrec.data.features import columns
from peftrec.data.rows import MOST
from peftrec.errors import UserError
from peftrec.machine.files import reading
from peftrec.model.co_learner import CoLearner
from peftrec.runs.tables import encodings_of
from peftrec.tasks.columns import HISTORY
from peftrec.tasks.kind import Task
from peftrec.tasks.starts import Asked, Start, start_of


def save_start(folder: Path, task: str, data: TaskData) -> dict[str, Any]:
    """Write the tensors of a task's start; returns its entry in model.json, nothing of a task without one."""
    start = start_of(data)
    if start is None:
        return {}
    (folder / "starts").mkdir(exist_ok=True)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in start.tensors().items()}
    save_file(tensors, folder / "starts" / f"{task}.safetensors", {"format": "np"})
    return {"start": {"name": start.name, **start.settings()}}


def load_starts(
    folder: Path,
    tasks: Mapping[str, Task],
    described: Mapping[str, Mapping[str, Any]],
    model: CoLearner,
) -> dict[str, Start]:
    """The starts of those tasks that have one, over the model's texts. Raises UserError for what is none, and for what
    was fitted to rows of another sort than the task's."""
    found = {}
    for name, of in described.items():
        file = folder / "starts" / f"{name}.safetensors"
        if not of.get("start"):
            continue
        starting = tasks[name].kind.start
        if starting is None:
            raise UserError(
                f"{folder / 'model.json'}: damaged: tasks.{name}.start: kind {tasks[name].config.kind} has none"
            )
        if large := [number for number in _numbers(of["start"]) if abs(number) > MOST]:
            place = f"{folder / 'model.json'}: damaged: tasks.{name}.start"
            raise UserError(f"{place}: holds {large[0]:g}; its numbers are at most {MOST:g} in size")
        with reading(file):
            tensors = load_file(file)
            if wrong := [name for name, of in tensors.items() if of.dtype.kind == "f" and not np.isfinite(of).all()]:
                raise UserError(f"{file}: {wrong[0]} holds numbers that are not finite")
            try:
                found[name] = starting.load(of["start"], tensors, _asked(of, model))
            except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                raise UserError(f"{file}: damaged: it is no start of kind {tasks[name].config.kind}: {error}") from None
    return found


def _asked(described: Mapping[str, Any], model: CoLearner) -> Asked:
    """The rows of a task of model.json."""
    item, asker = columns(encodings_of(described))
    past = len(HISTORY) if described["history"] else 0
    return Asked(
        model.encoder.texts,
        model.frozen_vectors,
        model.encoder.backbone.hidden_size,
        tuple(described["slots"]),
        len(described["classes"]),
        past + len(described["features"]) + len(item) + len(asker),
        described["base"] is not None,
        len(described["tables"]) > 1,
    )


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in what JSON's reader gave, which is not deep."""
    if isinstance(value, dict | list):
        for of in value.values() if isinstance(value, dict) else value:
            yield from _numbers(of)
    elif isinstance(value, int | float):
        yield value
