"""Runs what is missing of the comparison, one process after another, the first seed of all logs first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.ablation.compare import compared
from benchmarks.children import Job, chosen, run_missing
from benchmarks.recommending.logs import LOGS, METRICS, RATED
from benchmarks.recommending.one import INTEREST, ITEMS, PEFTREC, REFERENCES_OF
from peftrec.machine.files import read_json

SLICES = ("all", "warm items", "cold items", "warm users", "cold users", "repeats", "new")


def run_recommending(
    data: Path, out: Path, only: Sequence[str] | None, rows: int, seeds: int, keys: Sequence[str]
) -> dict[str, Any]:
    """What the page says, of what is in `out`; what is not there yet is run first.

    data  the folder that holds the data sets' folders
    keys  changes of every recipe of peftrec's, such as train.epochs=2
    Raises SystemExit for names that no log has, for results in `out` that are of other rows or keys, and, at the end,
    for what failed.
    """
    logs, asked = chosen(only, LOGS, "log"), {"rows": rows, "keys": list(keys)}
    jobs = [
        Job(
            f"{name}, {what}, seed {seed}",
            f"{name}: {what}, seed {seed}",
            folder_of(out, name, what, seed),
            {"set": name, "data": str(data.resolve()), "what": what, "seed": seed}
            | {"first": str(folder_of(out, name, what, 0))},
        )
        for seed in range(seeds)
        for kinds, names in (((PEFTREC, REFERENCES_OF), LOGS), ((INTEREST,), RATED), ((ITEMS,), LOGS))
        for name in names
        if name in logs
        for what in kinds
        if seed == 0 or what != ITEMS
    ]
    for _ in run_missing("recommending.one", jobs, asked):  # what they say of each other is said when all are there
        pass
    return {**asked, **finished(out, seeds)}


def folder_of(out: Path, name: str, what: str, seed: int) -> Path:
    """Where a result belongs."""
    return out / name / f"{what}-{seed}"


def finished(out: Path, seeds: int) -> dict[str, Any]:
    """{"logs": {log: what `compared_log` says}, "interest": {log: the reports, a seed each}} of what is there."""
    logs, interest = {}, {}
    for name in LOGS:
        done = {what: _seeds(out, name, what, seeds) for what in (PEFTREC, REFERENCES_OF, ITEMS, INTEREST)}
        if (of := min(done[PEFTREC], done[REFERENCES_OF])) > 0:
            logs[name] = compared_log(out / name, of) | (with_items(out / name) if done[ITEMS] else {})
        if done[INTEREST]:
            folders = [folder_of(out, name, INTEREST, seed) for seed in range(done[INTEREST])]
            interest[name] = [read_json(folder / "result.json")["report"] for folder in folders]
    return {"logs": logs, "interest": interest}


def _seeds(out: Path, name: str, what: str, most: int) -> int:
    """How many seeds, from the first on, there are."""
    there = [(folder_of(out, name, what, seed) / "result.json").is_file() for seed in range(most)]
    return [*there, False].index(False)


def with_items(folder: Path) -> dict[str, Any]:
    """What `fusion.items` gains over its absence, of the first seed: {"items": {metric: {slice: {"rows", "values",
    "gains"}}}}."""
    arms = {what: [pd.read_parquet(folder / f"{what}-0/{what}.parquet")] for what in (PEFTREC, ITEMS)}
    return {"items": {metric: compared(metric, arms, {ITEMS: (ITEMS, PEFTREC)}, SLICES) for metric in METRICS}}


def compared_log(folder: Path, seeds: int) -> dict[str, Any]:
    """What the page says of one log; gains are peftrec's over each of the others.

    {"commit", "seeds", "users": of the test rows, "references": of the first seed, "cpu_seconds": {name: of the first
    seed}, "metrics": {metric: {slice: {"rows", "values", "gains"}}}}
    """
    first = [read_json(folder / f"{REFERENCES_OF}-{seed}/result.json")["references"] for seed in range(seeds)]
    arms = {PEFTREC: [pd.read_parquet(folder / f"{PEFTREC}-{n}/{PEFTREC}.parquet") for n in range(seeds)]}
    for name in first[0]:
        of = [n if name in first[n] else 0 for n in range(seeds)]  # what has no seed says the same with each
        arms[name] = [pd.read_parquet(folder / f"{REFERENCES_OF}-{n}/{name}.parquet") for n in of]
    result = read_json(folder / f"{PEFTREC}-0/result.json")
    pairs = {name: (PEFTREC, name) for name in arms if name != PEFTREC}
    return {
        "commit": result["commit"],
        "seeds": seeds,
        "users": arms[PEFTREC][0]["user"].nunique(),
        "references": first[0],
        "cpu_seconds": {PEFTREC: result["cpu_seconds"]} | {name: of["cpu_seconds"] for name, of in first[0].items()},
        "metrics": {metric: compared(metric, arms, pairs, SLICES) for metric in METRICS},
    }
