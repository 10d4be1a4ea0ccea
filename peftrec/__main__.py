"""`python -m peftrec` is the `peftrec` command. A signal is obeyed from the start, while the command still loads."""

import os
import signal
from types import FrameType


def main() -> None:
    """Entry point of the `peftrec` command."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell's background jobs have it
            signal.signal(number, _leave)
    from peftrec.cli import verbs

    verbs.main()


def _leave(number: int, _: FrameType | None) -> None:
    """Nothing is begun that would have to be undone, and an exception could end in the middle of some import."""
    if number == signal.SIGINT and os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        os.write(2, b"peftrec: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
