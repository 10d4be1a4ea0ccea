"""What a run kept of a fitted predictor, each part of the form that it must have: a run may be a stranger's."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

FLOATS, WHOLE = "f", "iu"  # kinds of numbers, as NumPy has them


def stored(tensors: Mapping[str, np.ndarray], name: str, kind: str, *shape: int | None) -> np.ndarray:
    """A tensor of this kind of numbers and this shape; None: of any length. Raises KeyError and ValueError."""
    found = tensors[name]
    alike = found.ndim == len(shape) and all(of in (None, size) for of, size in zip(shape, found.shape, strict=True))
    if found.dtype.kind not in kind or not alike:
        wanted = " x ".join("any" if of is None else f"{of:,}" for of in shape)
        sort = "numbers" if kind == FLOATS else "whole numbers"
        raise ValueError(f"{name}: {wanted} {sort}; found {found.dtype} {found.shape}")
    return found


def number(name: str, found: Any) -> float:
    """What was found of a setting, which is a number. Raises ValueError."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{name}: a number; found {str(found)[:60]!r}")
    return float(found)


def sorts(name: str, found: Any, known: Collection[str]) -> tuple[str, ...]:
    """What was found of a setting, which names things that are known: at least one, each once. Raises ValueError."""
    if not isinstance(found, list) or not found or not all(isinstance(of, str) and of in known for of in found):
        raise ValueError(f"{name}: of {', '.join(known)}; found {str(found)[:60]}")
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: each once; found {str(found)[:60]}")
    return tuple(found)
