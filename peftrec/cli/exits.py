"""How a command ends: done, or one message on stderr and the exit status that says what kind of end it was."""

from typing import Any

import typer
from typer.core import TyperGroup

from peftrec.cli.notes import notes_shown
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.processes import ProcessLost
from peftrec.machine.signals import Interrupted


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
        if isinstance(error, processes.ToldElsewhere) or not isinstance(error, UserError | ProcessLost):
            return
        message = f"process {processes.number()}: {message}"
    typer.echo("\n".join([f"peftrec: {message}", *getattr(error, "__notes__", [])]), err=True)
