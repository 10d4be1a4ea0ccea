"""Results on stdout: JSON, or tables for people. Whatever needs rich or torch is imported where it is used."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from peftrec.cli.exits import StdoutFailed
from peftrec.cli.visible import visible
from peftrec.recipe.dotted import dotted


def show(result: Any, as_json: bool) -> None:
    """Print a result on stdout: JSON, or a table of its rows (of dotted keys and values for one object)."""
    if as_json:
        print_json(result)
        return
    from rich.table import Table

    rows = result if isinstance(result, list) else [{"": key, " ": value} for key, value in dotted(result)]
    headings = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*headings, box=None, pad_edge=False, show_header=any(name.strip() for name in headings))
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in headings))
    print_rich(table)


def show_checked(result: dict[str, Any], as_json: bool) -> None:
    """Print what `check` says on stdout: JSON, or tables and first examples in words, then dotted keys and values."""
    if as_json:
        print_json(result)
        return
    from peftrec.cli.understood import examples_lines, tables_lines

    tasks, words = result.get("tasks", {}), ("question", "first")
    for line in [*tables_lines(result.get("tables", [])), *examples_lines(tasks)]:
        echo(line)
    rest = {name: {key: value for key, value in task.items() if key not in words} for name, task in tasks.items()}
    show({key: value for key, value in (result | {"tasks": rest}).items() if key != "tables"}, as_json)


def show_report(report: dict[str, Any], as_json: bool) -> None:
    """Print a run's report on stdout: JSON, or a table a task and everything else as dotted keys and values.

    But for its notes, which were said while it trained.
    """
    if as_json:
        print_json(report)
        return
    from peftrec.cli.tables import format_report

    print_rich(format_report(report))
    show({key: value for key, value in report.items() if key not in ("tasks", "environment", "notes")}, as_json)


def show_study(result: dict[str, Any], as_json: bool) -> None:
    """Print on stdout what `training.tune.tune` returned: JSON, or the table of trials and how to train the best."""
    show(result if as_json else result["trials"], as_json)
    if not as_json:
        from peftrec.runs.metric_rows import number

        best = result["best"]
        echo(f"\nbest: trial {best['trial']}, {result['metric']} {number(best['value'])} on the validation split")
        echo(f"train it with: {result['command']}")


def print_json(value: Any) -> None:
    """Print plain values as JSON on stdout."""
    from peftrec.machine.files import to_json

    echo(to_json(value))


def echo(text: object, end: str = "\n") -> None:
    """Print a text on stdout; control characters in it are written out."""
    with _writing():
        typer.echo(f"{visible(text)}{end}", nl=False)


def print_rich(renderable: Any) -> None:
    """Print one of rich's renderables on stdout; whole lines, not 80 columns, for a pipe or a file.

    Brackets in a text are no markup, and control characters in it are written out.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Visible:
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
            for segment in console.render(renderable, options):
                yield Segment(visible(segment.text), segment.style)

    width = None if sys.stdout.isatty() else 1000
    with _writing():
        Console(width=width, markup=False, emoji=False, highlight=False).print(Visible())
        sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    """Raise StdoutFailed where stdout takes no more; what is left for it is dropped, or Python's end would try again.

    A pipe whose reader left is no failure: click ends quietly.
    """
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):  # PYTHONUNBUFFERED: what the system leaves of a write would be lost in silence
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), sys.stdout.encoding, sys.stdout.errors)
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  for the rest of the process
        raise StdoutFailed(f"stdout: cannot be written: {error.strerror}") from None


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "\n".join(_cell(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
