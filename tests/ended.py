"""`peftrec ARGUMENTS` in a process to which something happens: `torchrun ... ended.py WHAT STEP ARGUMENTS`.

Starts, priors and batches are those of `together.py`, whose bytes it is to make.
"""

import os
import signal
import sys
import time

import pytest
from quick import quicken
from tiny import at_step
from together import TOKENS

from peftrec.__main__ import main
from peftrec.machine import processes
from peftrec.model.cache import states


def press_ctrl_c() -> None:
    """As a terminal does, in which torchrun runs: it tells its processes, one after the other. Back when it is here."""
    if processes.is_first():
        os.kill(os.getppid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT).__self__.received is None:  # the loop's own
            time.sleep(0.01)


def nothing() -> None:
    """All goes well."""


def kill_second() -> None:
    """SIGKILL for the second process, from itself."""
    if processes.number() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    what, step, *sys.argv[1:] = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        patch.setattr(states, "TOKEN_BUDGET", TOKENS)
        at_step(patch, int(step), globals()[what])
        main()
