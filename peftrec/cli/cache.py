"""`peftrec cache`: what is kept on disk of the frozen part's states."""

from typing import Annotated

import typer

from peftrec.cli.options import Json
from peftrec.cli.printing import echo, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The frozen part's states on disk.")


@app.command("ls")
def ls(as_json: Json = False) -> None:
    """What is cached, the most recently used first."""
    from peftrec.machine.caching import cache_root
    from peftrec.model.cache.folder import describe_keys

    keys = describe_keys()
    show(keys, as_json)
    typer.echo(f"{len(keys)} keys, {sum(key['megabytes'] for key in keys):,.1f} MB in {cache_root()}", err=True)


@app.command("clear")
def clear(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="the beginning of a key; default: all")] = None,
) -> None:
    """Remove what is cached; what a running process uses stays."""
    from peftrec.model.cache.folder import clear_cache

    gone = clear_cache(key)
    echo(f"keys removed: {len(gone)} ({sum(of.bytes for of in gone) / 1e6:,.1f} MB)")
