"""The log: a JSON line a thing that happened, on stderr. Texts, users and histories are never in it; of what a message
may repeat (a path, a name) mail addresses and such are masked."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from peftrec.machine.progress import without_bars
from peftrec.serving.service.masking import Masker, mask, masked

_log = logging.getLogger("peftrec.serving.service")


def write(event: str, **of: Any) -> None:
    """Log an event with what is known of it; what is None is left out."""
    _log.info(event, extra={"of": {key: value for key, value in of.items() if value is not None}})


def failure(error: BaseException, **of: Any) -> None:
    """Log an error of ours: its type and where it was raised, without its message, which may hold what was asked."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
    write("error", error=type(error).__name__, at=places, **of)


class _Lines(logging.Handler):
    """A JSON object a line on stderr, what is personal in it masked `by` a function."""

    def __init__(self, by: Masker) -> None:
        super().__init__()
        self._by = by

    def emit(self, record: logging.LogRecord) -> None:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        try:
            said = masked({"event": record.getMessage(), **getattr(record, "of", {})}, self._by)
        except Exception as error:  # of an operator's own function
            said = {"event": "not logged: masking failed", "error": type(error).__name__}
        line = {"time": time, "level": record.levelname.lower(), **said}
        print(json.dumps(line, default=str), file=sys.stderr, flush=True)


@contextmanager
def lines_on_stderr(by: Masker = mask) -> Iterator[None]:
    """Inside the block stderr has JSON lines: the service's own, and uvicorn's that say what went wrong.

    Bars and notes of peftrec's work are not shown: notes may name what was asked.
    """
    handler = _Lines(by)
    notes, theirs = logging.getLogger("peftrec"), logging.getLogger("uvicorn")
    kept = [(log, log.level, log.propagate, list(log.handlers)) for log in (notes, theirs, _log)]
    for log, level in ((notes, logging.WARNING), (theirs, logging.WARNING), (_log, logging.INFO)):
        log.setLevel(level)
    notes.handlers, theirs.handlers, _log.handlers = [handler], [handler], [handler]
    _log.propagate = theirs.propagate = False
    try:
        with without_bars():
            yield
    finally:
        for log, level, propagate, handlers in kept:
            log.setLevel(level)
            log.propagate, log.handlers = propagate, handlers
