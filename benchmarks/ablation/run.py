"""Runs what is missing of the ablation, one after another, and says what each part earns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.ablation.arms import ARMS, EARNS, LOGS
from benchmarks.ablation.compare import compared
from benchmarks.card.judge import JUDGED_BY
from benchmarks.children import Job, chosen, run_missing
from peftrec.machine.files import read_json


def run_ablation(
    data: Path, out: Path, only: Sequence[str] | None, rows: int, seeds: int, keys: Sequence[str]
) -> dict[str, Any]:
    """What the page says, of the logs in `out` of which every arm has every seed; what is not there yet is run first.

    data  the folder that holds the data sets' folders
    keys  changes of every recipe, such as train.epochs=2
    Raises SystemExit for names that no log has, for results in `out` that are of other rows or keys, and, at the end,
    for what failed.
    """
    asked = {"rows": rows, "keys": list(keys)}
    jobs = [
        Job(
            f"{name}, {arm}, seed {seed}",
            f"{name}: {arm}, seed {seed}",
            out / name / f"{arm}-{seed}",
            {"set": name, "data": str(data.resolve()), "arm": arm, "seed": seed},
        )
        for name in chosen(only, LOGS, "log")
        for seed in range(seeds)
        for arm in ARMS
    ]
    for _ in run_missing("ablation.one", jobs, asked):  # what they say of each other is said when all are there
        pass
    return {**asked, "seeds": seeds, "sets": finished(out, seeds)}


def finished(out: Path, seeds: int) -> dict[str, Any]:
    """Log -> its commit and tasks, of those of which every arm has every seed."""
    found = {}
    for name in LOGS:
        folders = {arm: [out / name / f"{arm}-{seed}" for seed in range(seeds)] for arm in ARMS}
        if not all((folder / "result.json").is_file() for of in folders.values() for folder in of):
            continue
        one = read_json(folders[ARMS[0]][0] / "result.json")
        tasks = {}
        for task, kind in one["kinds"].items():
            rows = {arm: [pd.read_parquet(f / f"{task}.parquet") for f in of] for arm, of in folders.items()}
            metric = JUDGED_BY[kind]
            tasks[task] = {"metric": metric, "slices": compared(metric, rows, EARNS)}
        found[name] = {"commit": one["commit"], "tasks": tasks}
    return found
