"""The arguments and options that several verbs of the command line share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from peftrec.errors import UserError

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="a recipe file, or the name of a shipped recipe")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="change the recipe, such as train.lr=1e-4")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")]
Task = Annotated[str, typer.Option("--task", help="the task's name in the recipe")]
Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout and nothing else there")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="keep the frozen part's states in memory, neither read nor written on disk")
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="run code that the run names as package.module:name"),
]


def refuse_figure(file: Path) -> None:
    """Raise UserError where a figure that is asked for would be no PNG, or is there already."""
    from peftrec.machine.files import refuse_output

    if file.suffix.lower() != ".png":
        raise UserError(f"--figure: name a file that ends in .png; found {file}")
    refuse_output(file)


def at_least(least: int) -> Callable[[typer.CallbackParam, int | None], int | None]:
    """An option's check that names the value found, which click's own leaves out."""

    def check(option: typer.CallbackParam, value: int | None) -> int | None:
        if value is not None and value < least:
            raise UserError(f"{option.opts[0]} must be {least} or more; found {value}")
        return value

    return check
