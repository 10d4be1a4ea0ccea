"""`peftrec affinity`: which tasks of a recipe help each other, as matrices, a figure, and what to do."""

from pathlib import Path
from typing import Annotated

import typer

from peftrec.cli.options import Json, NoCache, Overrides, RecipeName, at_least, refuse_figure
from peftrec.cli.printing import echo, print_json, print_rich
from peftrec.machine.quiet import libraries_silenced
from peftrec.recipe.shipped import load_recipe


def affinity(
    recipe: RecipeName,
    overrides: Overrides = None,
    rounds: Annotated[
        int, typer.Option("--rounds", callback=at_least(3), help="times that all is tried; intervals are over them")
    ] = 8,
    steps: Annotated[int, typer.Option("--steps", callback=at_least(8), help="of each short training")] = 150,
    rows: Annotated[int, typer.Option("--rows", callback=at_least(8), help="of a task, at most")] = 2000,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.png", help="the matrices as a figure")
    ] = None,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """Which tasks help each other, from minutes of short trainings; what to share, to weigh, or to train apart."""
    loaded = load_recipe(recipe, overrides)
    if figure is not None:
        refuse_figure(figure)
    with libraries_silenced():
        from peftrec.cli.tables import format_affinity
        from peftrec.machine.files import write_output
        from peftrec.training.affinity.figure import draw
        from peftrec.training.affinity.measure import affinity as measure

        result = measure(loaded, rounds, steps, rows, cache=not no_cache)
        if figure is not None:
            write_output(figure, draw(result))
    if as_json:
        print_json(result)
        return
    print_rich(format_affinity(result))
    for line in result["suggestions"] or ["no interval leaves zero out: nothing is suggested"]:
        echo(line)
