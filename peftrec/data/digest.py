"""Digests of examples: equal for equal content, so that a training is continued on the data it began with."""

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import AT_ONCE
from peftrec.data.views import Column


def digest_dataset(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the tokenised text table (`texts`) and of every task's examples (`task.train` and so on)."""
    known: dict[int, str] = {}  # tasks share logs and columns
    parts = {
        f"{task}.{part}": _digest(data.split(part), known)
        for task, data in dataset.tasks.items()
        for part in ("train", "valid", "test")
    }
    return {"texts": _digest(dataset.texts.digests(np.arange(len(dataset.texts))), {}), **parts}


def _digest(value: Any, known: dict[int, str]) -> str:
    """SHA-256 of nested objects, dicts, lists, arrays and plain values. `known`: id -> digest, all still alive."""
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, np.ndarray | Column):
        digest = hashlib.sha256(f"{value.dtype} {value.shape}".encode())
        for first in range(0, max(1, len(value)) if value.shape else 1, AT_ONCE):
            some = value[first : first + AT_ONCE] if value.shape else value
            digest.update(np.ascontiguousarray(some).data)
    elif parts := _parts(value):
        digest = hashlib.sha256("".join(f"{name}={_digest(part, known)};" for name, part in parts).encode())
    else:
        return hashlib.sha256(repr(value).encode()).hexdigest()
    known[id(value)] = digest.hexdigest()
    return known[id(value)]


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Names and values of what an object consists of; nothing for plain values."""
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    return list((value if isinstance(value, dict) else getattr(value, "__dict__", {})).items())
