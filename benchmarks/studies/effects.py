"""What two shortcuts cost in accuracy: 16-bit storage of the frozen part's states, and batches that reuse texts.

    python -m benchmarks effects [--seeds 3]

The shipped MovieLens-100k recipe with MiniLM in fp32, four epochs without early stopping; only `backbone.cache_dtype`
or `train.locality` differ. Measured on the validation split, so that the test split stays untouched.
"""

import sys
import time
from typing import Any

import numpy as np

from peftrec.machine.environment import environment
from peftrec.recipe.shipped import load_recipe
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare
from peftrec.training.validation import validate

ROWS: dict[str, list[str]] = {
    "as shipped, states in fp32": [],
    "states in fp16": ["backbone.cache_dtype=fp16"],
    "states in bf16": ["backbone.cache_dtype=bf16"],
    "batches of whole users": ["train.locality=user"],
}
SHOWN = {"interest AUC": ("interest", "auc"), "query AUC": ("query", "auc"), "time MAE": ("time", "mae")}
FIXED = ["backbone.quantize=null", "backbone.dtype=fp32", "train.epochs=4", "train.early_stopping=null"]


def trained(changes: list[str], seed: int) -> dict[str, Any]:
    """Validation metrics, texts encoded an example, examples a second, and the cache's size."""
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


def measure(seeds: int) -> dict[str, Any]:
    """Every row with every seed."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
    for seed in range(seeds):
        for name, changes in ROWS.items():
            print(f"seed {seed}: {name}", file=sys.stderr)
            rows[name].append(trained(changes, seed))
    return {"seeds": seeds, "rows": rows, "environment": environment()}
