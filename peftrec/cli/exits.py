"""How a command ends: done, or one message on stderr and the exit status that says what kind of end it was."""

import errno
import os
import signal
import sys
import time
from typing import Any

import typer
from typer.core import TyperGroup

from peftrec.cli.notes import notes_shown
from peftrec.cli.visible import visible
from peftrec.errors import UserError, shown
from peftrec.machine import processes
from peftrec.machine.processes import ProcessLost
from peftrec.machine.signals import Interrupted

LAST_WORDS = 30  # seconds that a process waits for the first one to end, which starts and stumbles at its own pace


class StdoutFailed(Exception):
    """Stdout takes no more, such as a file on a full disk: neither the user's mistake nor ours."""


class Verbs(TyperGroup):
    """Turns a user's mistake into one message and status 2, an interruption into status 130 (SIGTERM: 143).

    A stdout that takes no more, such as a file on a full disk, is one message and status 1.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            with notes_shown():
                return super().invoke(ctx)
        except UserError as error:
            _say(str(error), error)
            raise typer.Exit(2) from None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            _say(f"a path or a name in it is longer than the system's paths are; found {shown(error.filename)}", error)
            raise typer.Exit(2) from None
        except Interrupted as error:
            _say(str(error), error)
            raise typer.Exit(128 + error.signal) from None
        except (ProcessLost, StdoutFailed) as error:
            _say(str(error), error)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as error:
            _say("interrupted", error)
            raise typer.Exit(130) from None
        except SystemExit as error:  # SIGTERM outside the training loop
            if getattr(error, "__notes__", None):
                _say("terminated", error)
            raise


def _say(message: str, error: BaseException) -> None:
    """The one message of an error on stderr, with the notes it was given on its way.

    Of a training's other processes only what concerns them alone: the first one says the rest.
    """
    if not processes.is_first():
        if isinstance(error, processes.ToldElsewhere):
            _let_first_speak()
            return
        if not isinstance(error, UserError | ProcessLost):
            return
        message = f"process {processes.number()}: {message}"
    typer.echo(visible("\n".join([f"peftrec: {message}", *getattr(error, "__notes__", [])])), err=True)


def _let_first_speak() -> None:
    """End only when torchrun says so, which it does once the first process has ended with the same mistake.

    Had this one ended before, torchrun might have ended the first one before it told the mistake.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
        time.sleep(LAST_WORDS)
