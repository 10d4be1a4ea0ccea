"""Runs the fields that are missing, one after another, and prints each as it ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.card.run import HEADING, columns, finished, lines
from benchmarks.children import Job, chosen, run_missing
from benchmarks.fields.files import FIELDS


def run_fields(data: Path, out: Path, only: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Field -> its result.json, of those in `out`; what is asked for and not there yet is run first.

    data  the folder that holds the data sets' folders
    Raises SystemExit for names that no field has, and, at the end, for fields that failed.
    """
    jobs = [
        Job(name, f"{name}: {FIELDS[name].said}", out / name, {"field": name, "data": str(data.resolve())})
        for name in chosen(only, FIELDS, "field")
    ]
    for job, result in run_missing("fields.one", jobs, {}):
        print(columns([HEADING, *lines(job.name, result)]), flush=True)
    return finished(out, FIELDS)
