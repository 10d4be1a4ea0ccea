"""The benchmark: experiments/*.yaml in, results/*.json, REPORT.md and figures out.

    python benchmarks/bench.py [quick|full|report] [--only NAME ...] [--jobs N] [--out runs/bench] [--minutes M]

An experiment file says what it asks, then gives a recipe and the axes whose product is its cells, or a script of this
folder. Each cell has a process of its own, so that its peak memory is its own: it is tuned (the same learning rates
for each, on validation rows) and then measured once a seed on the test split. Its folder is named by what it is to do:
what is finished is not run again, by whichever experiment. Results are written from what is finished.
"""

import argparse
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from report import write_report
from summary import summarise

from peftrec.machine.files import partial, write_json
from peftrec.recipe import make_recipe, parse_yaml
from peftrec.recipe.load import apply_overrides
from peftrec.recipe.shipped import load_recipe

HERE = Path(__file__).resolve().parent
START_SECONDS = 10  # of a child: imports, data, cached states
SEED_SECONDS = 4  # of a training: data and states again, evaluation


def read_experiments(profile: str, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """name -> experiment of a profile; Raises SystemExit for a name that is not there."""
    found = {p.stem: parse_yaml(p.read_text(), p.name) for p in sorted((HERE / "experiments").glob("*.yaml"))}
    chosen = {name: e for name, e in found.items() if profile in e["profiles"]}
    if unknown := set(only or ()) - set(found):
        raise SystemExit(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    return {name: found[name] for name in only} if only else chosen


def cells(experiment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Cell name -> "where" {axis: value}, "recipe", "seeds", "step_seconds", without those left out.

    An axis value holds dotted overrides, and by name `tasks` (those of the recipe that are kept), `seeds` and
    `step_seconds` (of one thread; the values of several axes are multiplied). The experiment's `order` of axes says
    which cells come first: those with the first value of its first axis.
    """
    base = load_recipe(experiment["recipe"]).model_dump(mode="json")
    axes = experiment["axes"]
    found = {}
    for names in itertools.product(*axes.values()):
        where = dict(zip(axes, names, strict=True))
        if any(_matches(where, rule["cells"]) for rule in experiment.get("left_out", [])):
            continue
        changes: dict[str, Any] = dict(experiment["changes"])
        seconds, seeds, raw = 1.0, experiment["seeds"], base
        for axis, name in where.items():
            value = dict(axes[axis][name] or {})
            seconds *= value.pop("step_seconds", 1.0)
            seeds = value.pop("seeds", seeds)
            if kept := value.pop("tasks", None):
                raw = {**raw, "tasks": {task: raw["tasks"][task] for task in kept}}
            changes |= value
        raw = apply_overrides(raw, [f"{key}={json.dumps(value)}" for key, value in changes.items()])
        recipe = make_recipe(raw).model_dump(mode="json")
        found[" ".join(names)] = {"where": where, "recipe": recipe, "seeds": seeds, "step_seconds": seconds}
    at = {axis: list(values) for axis, values in axes.items()}
    order = experiment.get("order", list(axes))
    return dict(sorted(found.items(), key=lambda cell: [at[axis].index(cell[1]["where"][axis]) for axis in order]))


def _matches(where: dict[str, str], rule: dict[str, Any]) -> bool:
    return all(where[axis] in (names if isinstance(names, list) else [names]) for axis, names in rule.items())


class Job(NamedTuple):
    """One process: `name` in its experiment, what it is to do, estimated seconds of one thread, and its folder."""

    name: str
    spec: dict[str, Any]
    seconds: float
    folder: Path


def jobs(experiment: dict[str, Any], out: Path, profile: str = "full") -> list[Job]:
    """What one experiment runs, the most important first; of those with `quick` cells, the profile `quick` these."""
    if "script" in experiment:
        spec = {"script": experiment["script"], "options": experiment.get("options", {})}
        return [Job(experiment["script"], spec, experiment["seconds"], folder_of(out, spec))]
    found = []
    for name, cell in cells(experiment).items():
        if profile == "quick" and not any(_matches(cell["where"], rule) for rule in experiment.get("quick", [{}])):
            continue
        tuning = {"grid": experiment["grid"], "steps": experiment["tune_steps"]}
        spec = {"script": "measure.py", "recipe": cell["recipe"], **tuning, "seeds": cell["seeds"]}
        tuned, measured = len(spec["grid"]), spec["seeds"]
        steps = tuned * spec["steps"] + measured * cell["recipe"]["train"]["max_steps"]
        seconds = START_SECONDS + SEED_SECONDS * (tuned + measured) + steps * cell["step_seconds"]
        found.append(Job(name, spec, seconds, folder_of(out, spec)))
    return found


def folder_of(out: Path, spec: dict[str, Any]) -> Path:
    """Where the result of just this specification belongs."""
    return out / hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def finished(folder: Path) -> bool:
    """Whether a child has left its result there."""
    return (folder / "spec.json").is_file()


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """No other bench.py works in `out` meanwhile: two would remove each other's folders. Raises SystemExit."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"{out}: another bench.py works there; wait for it, or give another --out") from None
        yield


def run(experiments: dict[str, dict[str, Any]], out: Path, profile: str, workers: int, until: float) -> None:
    """Run what is missing, `workers` processes at a time, none begun after `until`; one failure stops the rest."""
    wanted = {job.folder: (name, job) for name, e in experiments.items() for job in jobs(e, out, profile)}
    missing = [(name, job) for folder, (name, job) in wanted.items() if not finished(folder)]
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
            write_json(HERE / "results" / f"{name}.json", summarise(experiment, out))
    if failed:
        raise SystemExit("\n".join(failed))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def child(folder: Path, spec: dict[str, Any], threads: int) -> str:
    """Run the specification's script in a process of its own, which writes `folder`/result.json; its last words where
    it fails, else nothing."""
    for old in (folder, partial(folder)):
        shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    request = folder.parent / f"{folder.name}.json"
    write_json(request, spec)
    command = [sys.executable, str(HERE / spec["script"]), str(request), str(folder)]
    threaded = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=threaded)
    if done.returncode:
        return f"failed; to repeat it: {' '.join(command)}\n{done.stderr[-3000:]}"
    request.rename(folder / "spec.json")
    return ""


def main() -> None:
    """Say how long it takes, run what is missing, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", choices=["quick", "full", "report"], nargs="?", default="quick")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these experiments")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, which share the cores (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="where runs are kept")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many minutes")
    parser.add_argument("--plan", action="store_true", help="say what would run and how long it takes, and stop")
    given = parser.parse_args()
    until, out = time.monotonic() + 60 * given.minutes, given.out.resolve()
    if given.profile != "report":
        experiments = read_experiments(given.profile, given.only)
        total: dict[Path, float] = {}
        for name, experiment in experiments.items():
            missing = {j.folder: j.seconds for j in jobs(experiment, out, given.profile) if not finished(j.folder)}
            total |= missing
            minutes = sum(missing.values()) / 60
            print(f"{name}: {len(missing)} processes to run, about {minutes:,.1f} minutes of a thread", file=sys.stderr)
        idle = sum(total.values()) / 60 / min(given.jobs, cores())
        print(f"in all about {idle:,.0f} minutes on {min(given.jobs, cores())} idle cores", file=sys.stderr)
        if given.plan:
            return
        with alone(out):
            run(experiments, out, given.profile, given.jobs, until)
    print(write_report(HERE))


if __name__ == "__main__":
    main()
