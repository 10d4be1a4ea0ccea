"""`peftrec ARGUMENTS` in a process to which something happens: `torchrun ... ended.py WHAT STEP ARGUMENTS`."""

import os
import signal
import sys
import time

import pytest
from tiny import at_step

from peftrec.__main__ import main
from peftrec.machine import processes


def press_ctrl_c() -> None:
    """As a terminal does, in which torchrun runs: it tells its processes, one after the other. Back when it is here."""
    if processes.is_first():
        os.kill(os.getppid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT).__self__.received is None:  # the loop's own
            time.sleep(0.01)


def kill_second() -> None:
    """SIGKILL for the second process, from itself."""
    if processes.number() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    what, step, *sys.argv[1:] = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, int(step), globals()[what])
        main()
