"""One cell of an experiment, in a process of its own: every seed trained, and the test split predicted once.

    python -m benchmarks.matrix.measure SPEC.json OUT

SPEC.json: {"recipe": a whole recipe, "seeds"}. OUT, a folder, appears when all is done: result.json and, for every
seed, seed-N/test/*.parquet.
"""

import gc
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.children import deliver
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.outcomes import Outcome, write_outcomes
from peftrec.machine.memory import peak_memory_mb, return_free_memory
from peftrec.recipe import make_recipe
from peftrec.training.costs import costs
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

SLICED = {"auc", "log_loss", "ece", "mae"}
COLD_ITEM, SHORT = 10, 10  # train events of an item, events in a history: fewer is cold, short


def measure(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train, then predict the test split once. CPU seconds are hardly disturbed by what else the machine does."""
    gc.collect()  # the model before this one, whose memory then goes back to the system
    return_free_memory()
    setup = prepare(make_recipe(raw))
    setup.model.encoder.update(text_rows(setup.dataset, setup.tasks, ["train", "valid", "test"], True))
    started = time.process_time()
    begin(setup)
    begun = time.process_time()
    progress = fit(setup)
    seconds, peak = time.process_time() - begun, peak_memory_mb()
    outcomes: dict[str, Outcome] = {}
    tasks = setup.tasks
    report = evaluate(
        setup.model, setup.dataset, tasks, "test", resamples=0, priors=False, ranking=True, outcomes=outcomes
    )
    write_outcomes(folder, outcomes)
    sizes = []
    for task in setup.model.tasks:
        with tempfile.TemporaryDirectory() as weights:
            setup.model.encoder.adapter_of(task).save(task, Path(weights))
            sizes.append(sum(f.stat().st_size for f in Path(weights).iterdir()))
    cost = costs(setup.model, progress) | {
        "adapter_bytes_per_task": sum(sizes) / len(sizes),
        "lr": setup.config.lr,
        "steps": progress.step,
        "start_cpu_seconds": begun - started,
        "cpu_seconds": seconds,
        "cpu_seconds_per_step": seconds / progress.step,
        "examples_per_cpu_second": progress.examples / seconds,
        "peak_memory_mb": peak,
        "threads": torch.get_num_threads(),
    }
    return {
        "metrics": {task: of["metrics"] for task, of in report["tasks"].items()},
        "slices": {task: slices(setup.dataset, task, outcomes[task], of.metrics) for task, of in tasks.items()},
        "cost": cost,
        "valid": progress.history[-1]["valid"],
    }


def slices(dataset: Dataset, task: str, outcome: Outcome, metrics: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """{slice: {"n", metric: value}} of the test rows of a task with histories; nothing for others."""
    data = dataset.tasks[task]
    if data.test.log is None:
        return {}
    found = {}
    for name, chosen in slice_rows(data.train, data.test, len(dataset.items_of(task))).items():
        rows = np.flatnonzero(chosen)
        values = {
            m: METRICS[m](outcome.prediction[rows], outcome.label[rows], data.test.group[rows])
            for m in metrics
            if m in SLICED and len(rows)
        }
        found[name] = {"n": len(rows), **{m: None if np.isnan(v) else v for m, v in values.items()}}
    return found


def slice_rows(train: Examples, test: Examples, items: int) -> dict[str, np.ndarray]:
    """Which test rows belong to each slice, bool (N,)."""
    assert test.start is not None and test.stop is not None
    known = np.isin(test.group, train.group)
    events = np.bincount(train.item, minlength=items)[test.item]
    length = test.stop - test.start
    return {
        "users seen in training": known,
        "users new": ~known,
        f"items with {COLD_ITEM} or more training events": events >= COLD_ITEM,
        "items with fewer": events < COLD_ITEM,
        f"histories of {SHORT} or more": length >= SHORT,
        "histories shorter": length < SHORT,
    }


def work(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure every seed."""
    raw, seeds = spec["recipe"], []
    for seed in range(spec["seeds"]):
        (own := folder / f"seed-{seed}").mkdir()
        seeds.append(measure({**raw, "train": {**raw["train"], "seed": seed}}, own))
    return {"seeds": seeds}


if __name__ == "__main__":
    deliver(work)
