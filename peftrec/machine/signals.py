"""SIGTERM and Ctrl-C during training: the first is noted and obeyed after the step, a second Ctrl-C stops at once.

torchrun passes a signal on to its processes, which a batch system may have sent it to as well: the same kind twice is
no second wish. A second Ctrl-C it makes SIGTERM: of several processes, the other kind than the first stops at once.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from peftrec.machine.processes import count, is_first, largest

SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        # Once one of several processes has ended torchrun sends the others SIGTERM: none that is about to end, and to
        # say why, may be disturbed by it.
        ends = count() > 1 and (self.received is not None or failed is not None)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if ends else handler)

    def agree(self) -> int:
        """The signal that asked any of the processes to stop, 0: none. From then on it has been received by all.

        All call it together. torchrun signals one process after the other: what reaches one only after they have
        agreed is an echo, and must not end it while the others still wait for it.
        """
        found = largest(self.received or 0)
        if found and self.received is None:  # never None again: a signal may have come meanwhile
            self.received = found
        return found

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            if is_first():
                with suppress(OSError):  # straight to the terminal: the signal may have come in the middle of a print
                    os.write(2, b"\nfinishing this step, then stopping; Ctrl-C again stops at once\n")
        elif not self._is_echo(number) and (number == signal.SIGINT or count() > 1):
            raise KeyboardInterrupt

    def _is_echo(self, number: int) -> bool:
        return count() > 1 and number == self.received


def stop(number: int, _: FrameType | None) -> None:
    """Outside the training loop: unwind at once, so that what is unfinished is removed; an echo must not disturb it."""
    if count() > 1:
        signal.signal(number, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(143)
