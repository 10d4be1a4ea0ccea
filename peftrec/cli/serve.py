"""`peftrec serve`: runs behind HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from peftrec.cli.options import NoCache, at_least
from peftrec.errors import UserError
from peftrec.machine.quiet import libraries_silenced


def serve(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="run folders, over one backbone")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="runs that may be loaded later; without RUN all are loaded now"),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="the address to listen on; others than this need --keys")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", callback=at_least(0), help="0: a free one")] = 8000,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="who may ask, and how much; read again on change")
    ] = None,
    grace: Annotated[
        float, typer.Option("--grace", callback=at_least(0), help="seconds it goes on answering after SIGTERM")
    ] = 5.0,
    feedback: Annotated[
        Path | None, typer.Option("--feedback", metavar="FILE", help="JSON lines that told events are appended to")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option("--mask", metavar="MODULE:NAME", help="your own function text -> text, for log and feedback file"),
    ] = None,
    queue_rows: Annotated[
        int, typer.Option("--queue-rows", callback=at_least(1), help="rows that may wait; beyond: status 429")
    ] = 8192,
    max_rows: Annotated[int, typer.Option("--max-rows", callback=at_least(1), help="rows of a request")] = 1024,
    max_body: Annotated[int, typer.Option("--max-body", callback=at_least(1), help="bytes of a request")] = 8 << 20,
    no_cache: NoCache = False,
) -> None:
    """Serve runs over HTTP: predictions and recommendations by every task, until SIGTERM."""
    with libraries_silenced():
        try:
            from peftrec.serving.service.server import Listening
            from peftrec.serving.service.server import serve as serve_runs
            from peftrec.serving.service.state import Limits
        except ModuleNotFoundError as error:
            raise UserError(f"serve needs {error.name}: pip install 'peftrec[serve]'") from None

        listening = Listening(host, port, grace)
        bounds = Limits(max_rows, max_body)
        serve_runs(runs or [], folder, listening, keys, feedback, bounds, queue_rows, cache=not no_cache, mask=mask)
