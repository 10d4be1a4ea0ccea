"""`peftrec recipes`: the recipes that come with the package, and what a recipe may hold."""

from pathlib import Path
from typing import Annotated

import typer

from peftrec.cli.options import Json
from peftrec.cli.printing import echo, print_json, show
from peftrec.recipe import json_schema
from peftrec.recipe.shipped import copy_recipe, describe_recipe, recipe_files

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_recipes(ctx: typer.Context, as_json: Json = False) -> None:
    """List the recipes that come with the package."""
    if ctx.invoked_subcommand is None:
        show([{"name": name, "what": describe_recipe(path)} for name, path in recipe_files().items()], as_json)


@app.command("cp")
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    target: Annotated[Path, typer.Argument(metavar="[FILE]", help="file or folder; default: here")] = Path("."),
) -> None:
    """Copy a shipped recipe, to change it."""
    echo(copy_recipe(name, target))


@app.command("schema")
def schema() -> None:
    """Print a recipe's JSON schema, by which editors complete keys and mark mistakes."""
    print_json(json_schema())
