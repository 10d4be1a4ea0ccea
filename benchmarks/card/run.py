"""Runs the data sets of the card that are missing, one after another, and prints each as it ends."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.card.sets import SETS
from benchmarks.children import Job, chosen, run_missing
from peftrec.machine.files import read_json
from peftrec.runs.metric_rows import label, number

HEADING = ["data set", "task", "metric", "start", "result", "best prior", "baseline", "chance", ""]


def run_card(
    data: Path, out: Path, only: Sequence[str], rows: int, keys: Sequence[str], chinese: str
) -> dict[str, dict[str, Any]]:
    """Data set -> its result.json, of those that are finished; what is not there yet is run first.

    data  the folder that holds the data sets' folders
    only  the data sets that are asked for
    keys  changes of every recipe, such as train.lr=1e-4
    Raises SystemExit for names that no data set has, for results in `out` that are of other rows or keys, and, at the
    end, for data sets that failed.
    """
    asked = {"rows": rows, "keys": list(keys)}
    of_all = {"data": str(data.resolve()), "chinese": chinese}
    jobs = [
        Job(name, f"{name}: {SETS[name].said}", out / name, {"set": name, **of_all})
        for name in chosen(only, SETS, "data set")
    ]
    for job, result in run_missing("card.one", jobs, asked):
        print(columns([HEADING, *lines(job.name, result)]), flush=True)
    return finished(out)


def finished(out: Path, names: Iterable[str] = SETS) -> dict[str, dict[str, Any]]:
    """Name -> its result.json, of those that a folder has, in the order of `names`."""
    return {name: read_json(out / name / "result.json") for name in names if (out / name / "result.json").is_file()}


def lines(name: str, result: dict[str, Any]) -> list[list[str]]:
    """The cells of a data set's tasks, under HEADING."""
    found = []
    for task, of in result["tasks"].items():
        prior = "-" if of["prior"] is None else f"{number(of['prior']['value'])} {of['prior']['name']}"
        said = f"{number(of['baseline']['value'])} {of['baseline']['name']}"
        values = [number(of["start"]), number(of["result"]), prior, said, number(of["chance"]), of["verdict"]]
        found.append([name, task, label(of["metric"]), *values])
    return found


def columns(table: list[list[str]]) -> str:
    """A table as lines of text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table)
