"""How long the stages of a computation take, for whoever asks: nobody, mostly."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TOLD: ContextVar[dict[str, float] | None] = ContextVar("stages", default=None)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds by stage, of the stages that this thread goes through inside the block."""
    found: dict[str, float] = {}
    before = _TOLD.set(found)
    try:
        yield found
    finally:
        _TOLD.reset(before)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """The block is a stage, which holds no other of its name."""
    if (told := _TOLD.get()) is None:
        yield
        return
    begun = time.perf_counter()
    try:
        yield
    finally:
        told[name] = told.get(name, 0.0) + time.perf_counter() - begun
