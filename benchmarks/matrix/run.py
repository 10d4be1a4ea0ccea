"""Runs what is missing of the experiments, and writes results/*.json from what is finished.

Each cell has a process of its own, so that its peak memory is its own, and is measured once a seed on the test split.
Its folder is named by what it is to do: what is finished is not run again, by whichever experiment.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks.children import run_child
from benchmarks.matrix.plan import Job, finished, jobs
from benchmarks.matrix.summary import summarise
from benchmarks.places import RESULTS
from peftrec.machine.files import partial, write_json


def missing_jobs(experiments: dict[str, dict[str, Any]], out: Path, profile: str) -> dict[str, dict[Path, Job]]:
    """Experiment -> what it still has to run, by folder: several experiments may wait for the same."""
    return {
        name: {job.folder: job for job in jobs(experiment, out, profile) if not finished(job.folder)}
        for name, experiment in experiments.items()
    }


def tell_plan(experiments: dict[str, dict[str, Any]], out: Path, profile: str, workers: int) -> None:
    """Say on stderr what would run and how long it takes."""
    total: dict[Path, float] = {}
    for name, missing in missing_jobs(experiments, out, profile).items():
        seconds = {folder: job.seconds for folder, job in missing.items()}
        total |= seconds
        minutes = sum(seconds.values()) / 60
        print(f"{name}: {len(missing)} processes to run, about {minutes:,.1f} minutes of a thread", file=sys.stderr)
    idle = sum(total.values()) / 60 / min(workers, cores())
    print(f"in all about {idle:,.0f} minutes on {min(workers, cores())} idle cores", file=sys.stderr)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """No other benchmark works in `out` meanwhile: two would remove each other's folders. Raises SystemExit."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / "lock").acquire(blocking=False)
    except Timeout:
        raise SystemExit(f"{out}: another benchmark works there; wait for it, or give another --out") from None
    with lock:
        yield


def run(experiments: dict[str, dict[str, Any]], out: Path, profile: str, workers: int, until: float) -> None:
    """Run what is missing, `workers` processes at a time, none begun after `until`; one failure stops the rest."""
    wanted = {
        folder: (name, job)
        for name, of in missing_jobs(experiments, out, profile).items()
        for folder, job in of.items()
    }
    missing = list(wanted.values())
    failed: list[str] = []

    def work(number: int) -> None:
        name, job = missing[number]
        if failed or time.monotonic() > until:
            return
        about = f"{number + 1}/{len(missing)} {name}: {job.name}, about {job.seconds:,.0f} s of a thread"
        print(about, file=sys.stderr, flush=True)
        if said := child(job.folder, job.spec, max(1, cores() // workers)):
            failed.append(f"{name}: {job.name}: {said}")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(len(missing))))
    for name, experiment in experiments.items():
        if any(finished(job.folder) for job in jobs(experiment, out)):
            write_json(RESULTS / f"{name}.json", summarise(experiment, out))
    if failed:
        raise SystemExit("\n".join(failed))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def child(folder: Path, spec: dict[str, Any], threads: int) -> str:
    """Run the specification's module in a process of its own, which writes `folder`/result.json; its last words where
    it fails, else nothing."""
    for old in (folder, partial(folder)):
        shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    request = folder.parent / f"{folder.name}.json"
    write_json(request, spec)
    said = run_child(spec["module"], request, folder, threads)
    if not said:
        request.rename(folder / "spec.json")
    return said
