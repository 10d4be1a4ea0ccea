"""What the usual script and peftrec reach on the same rows, in the same epochs, and at what cost.

    python -m benchmarks.studies.equal_epochs SPEC.json OUT

MovieLens-100k, interest: the padded cross-encoder of plain_peft.py, then peftrec's LoRA on every layer, LoRA on the top
two over the cached trunk, and the side network; each sees the same train rows once, 32 a step, and is scored on the
same test rows. Nothing is tuned: each learning rate is the one its script or recipe ships with. SPEC.json: {"options":
{"train_rows", "test_rows"}}.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.children import deliver
from benchmarks.studies.plain_peft import BATCH, learn
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.evaluation.evaluate import evaluate
from peftrec.model.backbone import load_backbone
from peftrec.model.co_learner import build_model
from peftrec.recipe import Recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.training.defaults import settled
from peftrec.training.loop import fit
from peftrec.training.prepare import Setup

TASK = "interest"
OVERRIDES = [
    "data.history=20",
    "backbone.quantize=null",
    "backbone.dtype=fp32",
    f"train.batch_size={BATCH}",
    "train.epochs=1",
    "train.early_stopping=null",
]
METHODS = {
    "peftrec: lora, all layers": ["adapter.method=lora", "adapter.layers=all", "adapter.options={}"],
    "peftrec: lora, top-2, cached": ["adapter.method=lora", "adapter.layers=top-2", "adapter.options={}"],
    "peftrec: side": ["adapter.method=side", "adapter.layers=all", "adapter.options={}"],
}


def fewer(recipe: Recipe, train_rows: int, test_rows: int) -> Dataset:
    """The recipe's data with so many rows of each split, drawn once, and none for validation."""
    data, picks = load_data(recipe), np.random.default_rng(0)

    def some(rows: Examples, count: int) -> Examples:
        return rows.take(np.sort(picks.choice(len(rows), count, replace=False)))

    of = data.tasks[TASK]
    own = replace(of, train=some(of.train, train_rows), valid=some(of.valid, 0), test=some(of.test, test_rows))
    return replace(data, tasks={TASK: own})


def co_learn(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Train one of peftrec's methods, then score the test rows, beside their priors."""
    torch.manual_seed(0)
    tasks = resolve(recipe)
    config = settled(recipe, data)
    model = build_model(recipe, tasks, load_backbone(recipe.backbone), data, config.dropout)
    model.encoder.disk = False  # each method computes its own states, and their cost is its own
    started = time.process_time()
    progress = fit(Setup(recipe, config, tasks, Accelerator(), data, model, []))
    seconds = time.process_time() - started
    report = evaluate(model, data, tasks, "test", resamples=1000, priors=True)["tasks"][TASK]
    return {
        "steps": progress.step,
        "cpu_seconds": seconds,
        "auc": report["metrics"]["auc"],
        "interval": report["intervals"]["auc"],
        "priors": {name: values.get("auc") for name, values in report["priors"].items()},
    }


def measure(train_rows: int, test_rows: int) -> dict[str, Any]:
    """Every row of the table."""
    rows: dict[str, Any] = {}
    for name, overrides in METHODS.items():
        recipe = load_recipe("movielens-100k", OVERRIDES + overrides)
        recipe = recipe.model_copy(update={"tasks": {TASK: recipe.tasks[TASK]}})
        data = fewer(recipe, train_rows, test_rows)
        rows[name] = co_learn(recipe, data)
    priors = [row.pop("priors") for row in rows.values()]
    usual = learn(data, TASK, train_rows // BATCH, test_rows)
    usual = {
        "steps": usual["trained_rows"] // BATCH,
        "cpu_seconds": usual["cpu_seconds"],
        "auc": usual["value"],
        "interval": usual["interval"],
    }
    return {"rows": {"padded cross-encoder, plain PEFT": usual} | rows, "priors": priors[0]}


if __name__ == "__main__":
    deliver(lambda spec, folder: measure(spec["options"]["train_rows"], spec["options"]["test_rows"]))
