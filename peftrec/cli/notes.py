"""What peftrec logs, as lines on stderr. Only the command shows them: a program that imports peftrec decides itself."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from peftrec.cli.visible import visible


class _AboveBars(logging.Handler):
    """A line a record on what stderr is at that moment, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(visible(self.format(record)), file=sys.stderr)


@contextmanager
def notes_shown() -> Iterator[None]:
    """The notes of peftrec's work are lines on stderr inside the block, and go nowhere else."""
    log, handler = logging.getLogger("peftrec"), _AboveBars()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # a library may have given the root logger a handler, which would say them again
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
