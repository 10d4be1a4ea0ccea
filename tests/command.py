"""The command, called inside a test's own process."""

from typing import Any

from typer.testing import CliRunner

from peftrec.cli.verbs import app


def peftrec(*arguments: object) -> Any:
    """What `peftrec ARGUMENTS` ended with: exit_code, stdout, stderr."""
    return CliRunner().invoke(app, [str(a) for a in arguments])
