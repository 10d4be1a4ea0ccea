"""The log: a JSON line a thing that happened, on stderr. Texts, users and histories are never in it."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

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
    """A JSON object a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        print(json.dumps(line | getattr(record, "of", {}), default=str), file=sys.stderr, flush=True)


@contextmanager
def lines_on_stderr() -> Iterator[None]:
    """Inside the block stderr has JSON lines: the service's own, and uvicorn's that say what went wrong.

    Notes of peftrec's work are not shown: they may name what was asked.
    """
    handler = _Lines()
    notes, theirs = logging.getLogger("peftrec"), logging.getLogger("uvicorn")
    kept = [(log, log.level, log.propagate, list(log.handlers)) for log in (notes, theirs, _log)]
    for log, level in ((notes, logging.WARNING), (theirs, logging.WARNING), (_log, logging.INFO)):
        log.setLevel(level)
    notes.handlers, theirs.handlers, _log.handlers = [handler], [handler], [handler]
    _log.propagate = theirs.propagate = False
    try:
        yield
    finally:
        for log, level, propagate, handlers in kept:
            log.setLevel(level)
            log.propagate, log.handlers = propagate, handlers
