"""The file that feedback is kept in, for the next training: a JSON line an event, as an events table has it.

A user's id that is itself personal, such as a mail address, is kept masked, with a digest that tells users apart.
"""

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peftrec.errors import UserError
from peftrec.machine.files import to_json
from peftrec.serving.live import LiveEvent
from peftrec.serving.service.masking import Masker, mask


class FeedbackFile:
    """A file of JSON lines to append to; of several processes too, each request's lines staying together.

    `by`: how it is masked.
    """

    def __init__(self, path: Path, by: Masker = mask) -> None:
        self.path, self._by, self._alone = path, by, threading.Lock()
        self.append([])  # says at once where it cannot be written

    def append(self, events: Iterable[LiveEvent]) -> None:
        """Append a line an event. Raises UserError where the file cannot be written."""
        content = "".join(to_json(line_of(event, self._by), indent=None) + "\n" for event in events).encode()
        try:
            with self._alone:
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    written = os.write(file, content)
                    if written < len(content):
                        raise OSError(0, "only a part was written")
                finally:
                    os.close(file)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None


def line_of(event: LiveEvent, by: Masker) -> dict[str, Any]:
    """An event as a row of an events table."""
    table = {} if event.table is None else {"table": event.table}
    return {"user": _masked_id(event.user, by), "item": event.item, "time": event.time, **table, **event.values}


def _masked_id(user: str, by: Masker) -> str:
    said = by(user)
    return user if said == user else f"{said}#{hashlib.sha256(user.encode()).hexdigest()[:12]}"
