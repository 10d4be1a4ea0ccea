"""Both ends of a measurement in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peftrec.machine.environment import environment
from peftrec.machine.files import new_folder, partial, read_json, write_json


def measured(script: str, *what: str) -> dict[str, Any]:
    """What `script --child what...` prints as JSON on its last line. Raises SystemExit with its last words."""
    done = subprocess.run([sys.executable, script, "--child", *what], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(what)}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def deliver(work: Callable[[dict[str, Any], Path], dict[str, Any]]) -> None:
    """For a script that bench.py starts with SPEC.json and OUT: what `work`, given the specification and a temporary
    folder, returns becomes result.json in that folder, which becomes OUT; with the code that ran and the machine."""
    spec, out, ran = read_json(Path(sys.argv[1])), Path(sys.argv[2]), commit()
    with new_folder(out, partial(out)) as folder:
        write_json(folder / "result.json", {"commit": ran, "environment": environment()} | work(spec, folder))


def commit() -> str:
    """The commit of the code that runs, with `+` where the library or these scripts differ from it."""

    def ask(*words: str) -> str:
        root = Path(__file__).parent.parent
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return ask("rev-parse", "--short", "HEAD") + "+" * bool(ask("status", "--porcelain", "--", "peftrec", "*.py"))
