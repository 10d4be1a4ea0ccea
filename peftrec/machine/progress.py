"""Progress of long work: a bar on stderr, or a line now and then without a terminal; and notes, which are logged.

Notes are records of the logger `peftrec` at level INFO: the command shows them, other programs as they like.
"""

import logging
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from peftrec.machine.processes import count, is_first, number

MANY_TASKS = 10
_log = logging.getLogger("peftrec")
_bars = True


@contextmanager
def without_bars() -> Iterator[None]:
    """No bars are shown inside the block, whichever thread works: stderr has something else."""
    global _bars
    before, _bars = _bars, False
    try:
        yield
    finally:
        _bars = before


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm:
    """A progress bar on stderr to be updated by hand; without a terminal it prints every ten seconds at the most.

    Of several processes the first one alone shows it. `done` of `total` were done in an earlier session.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=f" {unit}",
        unit_scale=total >= 10_000,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
        disable=not (_bars and is_first()),
    )


def track_rows(groups: Iterable[np.ndarray], total: int, what: str) -> Iterator[np.ndarray]:
    """Pass groups of text rows through, counting texts."""
    with bar(total, what, "texts") as shown:
        for group in groups:
            yield group
            shown.update(len(group))


def track_blocks(blocks: range, total: int, what: str, unit: str) -> Iterator[int]:
    """Pass where each block of rows begins through, counting rows where there is more than one block."""
    if len(blocks) < 2:
        yield from blocks
        return
    with bar(total, what, unit) as shown:
        for first in blocks:
            yield first
            shown.update(min(blocks.step, total - first))


def track_tasks(tasks: Collection[str], what: str) -> Iterator[str]:
    """Pass task names through, counting tasks where they are so many that one waits for them."""
    if len(tasks) < MANY_TASKS:
        yield from tasks
        return
    with bar(len(tasks), what, "tasks") as shown:
        for task in tasks:
            yield task
            shown.update()


def note(line: str, of_any: bool = False) -> None:
    """Log one line for the user, which the command shows on stderr. Of several processes the first one alone says it.

    of_any  it concerns this process alone: any says it, with its number
    """
    if of_any and count() > 1:
        line = f"process {number()}: {line}"
    if of_any or is_first():
        _log.info(line)
