"""What `peftrec check` says training will take, beside what it then took: peak memory, and time without evaluation.

    python benchmarks/estimates.py

On MovieLens-100k: the side network on two backbones, and methods inside the layers. `check` and `train` are processes
of their own; trainings are cut short: one or two epochs, or six steps and a validation. Prints the README's table.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SHORT = "train.max_steps=6"
SHARED = "sharing: shared, layers"
CASES = {
    "side": ("movielens-100k", "train.epochs=2"),
    "side, SmolLM2-135M": ("movielens-100k-smollm2", "train.epochs=2"),
    "lora, top 2 layers": ("movielens-100k", f"adapter={{method: lora, {SHARED}: top-2}}", "train.epochs=1"),
    "lora, all layers": ("movielens-100k", f"adapter={{method: lora, {SHARED}: all}}", SHORT),
    "bottleneck, top 3 layers": ("movielens-100k", f"adapter={{method: bottleneck, {SHARED}: top-3}}", SHORT),
}


def peftrec(*arguments: str) -> dict:
    """One command's JSON."""
    command = [sys.executable, "-m", "peftrec", *arguments, "--json"]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def main() -> None:
    """Check and train every case, and print a row for each."""
    print("| recipe | peak memory, MB: said | used | training, s: said | taken |")
    print("| --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        said = peftrec("check", *case)["training"]
        with tempfile.TemporaryDirectory() as folder:
            cost = peftrec("train", *case, "--run", str(Path(folder) / "run"))["cost"]
        memory, seconds = said["peak_memory_mb"], said["seconds_at_most"]
        print(
            f"| {name} | {memory:,.0f} | {cost['peak_memory_mb']:,.0f} | {seconds:.1f} | {cost['train_seconds']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
