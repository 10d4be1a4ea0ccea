"""SIGTERM and Ctrl-C during training: the first is noted and obeyed after the step, a second Ctrl-C stops at once."""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from peftrec.processes import is_first


class Interrupted(KeyboardInterrupt):
    """Training was stopped by `signal` after the whole number of optimiser steps `step`."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.signal, self.step = number, step


class StopSignals:
    """Inside the block, `received` is the number of the signal that asked to stop, or None.

    Python allows handlers in the main thread only; in another thread the signals do what they did before.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if not is_first():
            return
        with suppress(OSError):  # straight to the terminal: the signal may have come in the middle of a print
            os.write(2, b"\nfinishing this step, then stopping; Ctrl-C again stops at once\n")
