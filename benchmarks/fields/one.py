"""One field, in a process of its own: its files written, its recipe trained by the command, its baselines fitted.

    python -m benchmarks.fields.one SPEC.json OUT

SPEC.json: {"field", "data"}. OUT, a folder, appears when all is done: result.json, the files and the run.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.card.one import card_lines
from benchmarks.children import deliver
from benchmarks.fields.files import FIELDS
from benchmarks.fields.frames import frame_of
from benchmarks.places import ROOT
from peftrec.machine.files import read_json
from peftrec.recipe.shipped import load_recipe


def spent(command: list[str], **environment: str) -> float:
    """CPU seconds of a command, all of it, in this environment and what is added. Raises SystemExit with its last
    words."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    added = os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=added, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def work(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Everything of one field; MB are the training's peak, and the largest adapter of a task."""
    field, run = FIELDS[spec["field"]], folder / "run"
    (files := folder / "files").mkdir()
    changes = [f"{key}={path}" for key, path in field.files(Path(spec["data"]), files).items()]
    command = [sys.executable, "-m", "peftrec", "train", field.recipe, *changes, "--run", str(run)]
    with tempfile.TemporaryDirectory() as cache:  # empty: states that were kept before would be work not counted
        seconds = spent(command, PEFTREC_CACHE=cache, OMP_NUM_THREADS="1")
    recipe, cost = load_recipe(field.recipe, changes), read_json(run / "report.json")["cost"]
    frames = {name: frame_of(table) for name, table in recipe.data.named.items()}
    return {
        "field": spec["field"],
        "recipe": field.recipe,
        "said": field.said,
        "cpu_seconds": seconds,
        "peak_mb": cost["peak_memory_mb"],
        "adapter_mb": max(cost["adapter_bytes"].values()) / 1e6,
        "tasks": card_lines(recipe, frames, run),
    }


if __name__ == "__main__":
    deliver(work)
