"""Random weights by name: what one thing draws does not depend on what is drawn beside it."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_all(seed: int) -> None:
    """As torch.manual_seed, which for devices that are not there keeps a trace of every call and takes up to 20 ms."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def drawn_for(name: str) -> Iterator[None]:
    """Whatever torch draws inside follows from its seed and the name alone; outside nothing is drawn by it.

    So that a task's head, or its part of an adapter, begins the same whichever tasks it is trained with.
    """
    seed = (torch.initial_seed() * 1_000_003 + zlib.crc32(name.encode())) % (1 << 63)
    with torch.random.fork_rng(devices=[]):
        seed_all(seed)
        yield
