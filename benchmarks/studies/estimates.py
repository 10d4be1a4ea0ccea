"""What `peftrec check` says training will take, beside what it then took: peak memory, and time without evaluation.

    python -m benchmarks estimates

On MovieLens-100k: the side network on two backbones, and methods inside the layers. `check` and `train` are processes
of their own; trainings are cut short: one or two epochs, or six steps and a validation.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHORT = "train.max_steps=6"
SHARED = "sharing: shared, layers"
CASES = {
    "side": ("movielens-100k", "train.epochs=2"),
    "side, SmolLM2-135M": ("movielens-100k-smollm2", "train.epochs=2"),
    "lora, top 2 layers": ("movielens-100k", f"adapter={{method: lora, {SHARED}: top-2}}", "train.epochs=1"),
    "lora, all layers": ("movielens-100k", f"adapter={{method: lora, {SHARED}: all}}", SHORT),
    "bottleneck, top 3 layers": ("movielens-100k", f"adapter={{method: bottleneck, {SHARED}: top-3}}", SHORT),
}


def peftrec(*arguments: str) -> dict[str, Any]:
    """One command's JSON."""
    command = [sys.executable, "-m", "peftrec", *arguments, "--json"]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def measure() -> Iterator[str]:
    """A Markdown table of every case, checked and trained, line by line as they are done."""
    yield "| recipe | peak memory, MB: said | used | training, s: said | taken |"
    yield "| --- | --- | --- | --- | --- |"
    for name, case in CASES.items():
        said = peftrec("check", *case)["training"]
        with tempfile.TemporaryDirectory() as folder:
            cost = peftrec("train", *case, "--run", str(Path(folder) / "run"))["cost"]
        memory, seconds = said["peak_memory_mb"], said["seconds_at_most"]
        used, taken = cost["peak_memory_mb"], cost["train_seconds"]
        yield f"| {name} | {memory:,.0f} | {used:,.0f} | {seconds:.1f} | {taken:.1f} |"
