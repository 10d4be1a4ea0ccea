"""What two shortcuts cost in accuracy: 16-bit storage of the frozen part's states, and batches that reuse texts.

    python benchmarks/effects.py [--seeds 3]

The shipped MovieLens-100k recipe with MiniLM in fp32, four epochs without early stopping; only `backbone.cache_dtype`
or `train.locality` differ. Measured on the validation split, so that the test split stays untouched. Writes
benchmarks/results/effects.json and EFFECTS.md.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROWS = {
    "as shipped, states in fp32": [],
    "states in fp16": ["backbone.cache_dtype=fp16"],
    "states in bf16": ["backbone.cache_dtype=bf16"],
    "batches of whole users": ["train.locality=user"],
}
SHOWN = {"interest AUC": ("interest", "auc"), "query AUC": ("query", "auc"), "time MAE": ("time", "mae")}
FIXED = ["backbone.quantize=null", "backbone.dtype=fp32", "train.epochs=4", "train.early_stopping=null"]


def measure(changes: list[str], seed: int) -> dict[str, Any]:
    """Validation metrics, texts encoded an example, examples a second, and the cache's size."""
    from peftrec.recipe.shipped import load_recipe
    from peftrec.training.loop import fit, prepare, validate

    setup = prepare(load_recipe("movielens-100k", [*FIXED, *changes, f"train.seed={seed}"]))
    setup.model.encoder.update()
    started = time.perf_counter()
    at = fit(setup)
    seconds = time.perf_counter() - started
    valid = validate(setup)
    cache = setup.model.encoder.caches["pooled"]
    return {
        **{name: valid[task][metric] for name, (task, metric) in SHOWN.items()},
        "texts an example": setup.model.work.encoded / at.examples,
        "examples/s": at.examples / seconds,
        "cache MB": cache.bytes(np.arange(len(setup.dataset.texts))) / 1e6,
    }


def page(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    names = list(result["rows"][next(iter(ROWS))][0])
    lines = [
        "# What two shortcuts cost",
        "",
        f"`python benchmarks/effects.py --seeds {result['seeds']}`: means over {result['seeds']} seeds, in brackets the"
        " smallest and the largest; validation split.",
        "",
        "| | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for row, runs in result["rows"].items():
        cells = []
        for name in names:
            values = [run[name] for run in runs]
            digits = 4 if name in SHOWN else 3 if name == "texts an example" else 0
            spread = f" ({min(values):.4f} to {max(values):.4f})" if name in SHOWN else ""
            cells.append(f"{np.mean(values):,.{digits}f}{spread}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, write, print."""
    from peftrec.machine.environment import environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
    for seed in range(given.seeds):
        for name, changes in ROWS.items():
            print(f"seed {seed}: {name}", file=sys.stderr)
            rows[name].append(measure(changes, seed))
    result = {"seeds": given.seeds, "rows": rows, "environment": environment()}
    (HERE / "results" / "effects.json").write_text(json.dumps(result, indent=2) + "\n")
    (HERE / "EFFECTS.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
