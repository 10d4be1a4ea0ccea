"""`python -m peftrec` is the `peftrec` command. A signal is obeyed from the start, while the command still loads."""

import gc
import os
import signal
import sys
from types import FrameType

# How often a thread of libgomp (the OpenMP of torch's Linux wheels) looks whether the others are done before it sleeps.
# Its own 300,000 are milliseconds: beside other busy processes each thread burns them waiting for one that has no core.
# Sleeping at once (OMP_WAIT_POLICY=passive) makes the steps of an idle machine slow: `python -m benchmarks busy`.
SPINS = 3000

# Objects after which Python looks for garbage; of its own 700, loading the libraries alone makes it look 1,300 times, a
# sixth of a short command. A step of training leaves none.
YOUNG = 10_000


def main() -> None:
    """Entry point of the `peftrec` command."""
    _import_from_no_run()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell's background jobs have it
            signal.signal(number, _leave)
    _settle_torch()
    gc.set_threshold(YOUNG)
    from peftrec.cli import verbs

    verbs.main()


def _import_from_no_run() -> None:
    """`python -m` looks for modules in the current directory first: not where that is a run, whose files are data."""
    held = ("run.yaml", "manifest.json")
    sys.path[:] = [place for place in sys.path if not any(os.path.isfile(os.path.join(place, file)) for file in held)]


def _settle_torch() -> None:
    """Before torch is imported, as libgomp reads its variables when it is loaded. What the user sets stays."""
    # Nothing is compiled here, and that bitsandbytes makes itself ready for it takes 1.5 s of every start.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    if "OMP_WAIT_POLICY" not in os.environ:  # GOMP_SPINCOUNT would overrule it
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def _leave(number: int, _: FrameType | None) -> None:
    """Nothing is begun that would have to be undone, and an exception could end in the middle of some import."""
    if number == signal.SIGINT and os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        os.write(2, b"peftrec: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
