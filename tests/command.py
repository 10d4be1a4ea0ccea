"""The command, called inside a test's own process, and what it prints."""

import sys
import types
from typing import Any

from rich.console import Console
from typer.testing import CliRunner

from peftrec.cli.tables import format_report
from peftrec.cli.verbs import app


def peftrec(*arguments: object) -> Any:
    """What `peftrec ARGUMENTS` ended with: exit_code, stdout, stderr."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def printed(report: dict) -> str:
    """The tables of a report, as a terminal of 80 columns shows them."""
    console = Console(width=80, markup=False, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(format_report(report))
    return console.export_text()


def put(monkeypatch: Any, name: str, **functions: object) -> None:
    """Stand-ins for the functions that a verb calls; the verbs themselves are under test here."""
    module = types.ModuleType(f"peftrec.{name}")
    module.__dict__.update(functions)
    monkeypatch.setitem(sys.modules, f"peftrec.{name}", module)
