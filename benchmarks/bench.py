"""The benchmark: experiments/*.yaml in, results/*.json, REPORT.md and figures out.

    python benchmarks/bench.py [quick|full] [--only NAME ...] [--out runs/bench] [--minutes M]

An experiment file says what it asks, then gives a recipe and the axes whose product is its cells, or a script of this
folder. Each cell is tuned (the same learning rates for each, on validation rows) and then measured once a seed on the
test split, every step in a process of its own, so that peak memory is its own. What is finished, and has not changed
since, is not run again.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import write_report
from summary import summarise

from peftrec.checkpoint import read_json, write_json
from peftrec.checkpoint.files import partial
from peftrec.recipe import make_recipe, parse_yaml
from peftrec.recipe.load import apply_overrides
from peftrec.shipped import load_recipe

HERE = Path(__file__).resolve().parent
START_SECONDS = 11  # of a child: imports, data, cached states, evaluation


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
    `step_seconds` (measured on 2 cores; the values of several axes are multiplied).
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
    return found


def _matches(where: dict[str, str], rule: dict[str, Any]) -> bool:
    return all(where[axis] in (names if isinstance(names, list) else [names]) for axis, names in rule.items())


def steps(experiment: dict[str, Any]) -> Iterator[tuple[str, list[str], dict[str, Any] | None, float]]:
    """What one experiment runs: folder below its own, script and arguments, specification, estimated seconds."""
    if "script" in experiment:
        yield "script", [experiment["script"]], {"options": experiment.get("options", {})}, experiment["seconds"]
        return
    for name, cell in cells(experiment).items():
        folder, grid = name.replace(" ", "_"), experiment["grid"]
        count = cell["recipe"]["train"]["max_steps"]
        tuned = {"recipe": cell["recipe"], "grid": grid, "steps": experiment["tune_steps"]}
        yield (
            f"{folder}/tune",
            ["measure.py"],
            tuned,
            START_SECONDS + len(grid) * tuned["steps"] * cell["step_seconds"],
        )
        for seed in range(cell["seeds"]):
            train = {**cell["recipe"]["train"], "seed": seed}
            spec = {"recipe": {**cell["recipe"], "train": train}, "grid": None}
            yield f"{folder}/seed-{seed}", ["measure.py"], spec, START_SECONDS + count * cell["step_seconds"]


def run(name: str, experiment: dict[str, Any], out: Path, until: float) -> None:
    """Run what is missing of one experiment, and write results/NAME.json. Raises SystemExit when time is up."""
    planned = list(steps(experiment))
    lr = None
    for number, (below, command, spec, seconds) in enumerate(planned, 1):
        assert spec is not None
        folder = out / name / below
        if spec.get("recipe") and spec["grid"] is None:
            spec = {**spec, "recipe": {**spec["recipe"], "train": {**spec["recipe"]["train"], "lr": lr}}}
        if not finished(folder, spec):
            if time.monotonic() > until:
                raise SystemExit(f"{name}: the time is up before {below}; the same command goes on from there")
            print(f"{name} {number}/{len(planned)}: {below}, about {seconds:,.0f} s", file=sys.stderr, flush=True)
            child(folder, command[0], spec)
        if below.endswith("tune"):
            lr = read_json(folder / "result.json")["lr"]
    result = summarise(name, experiment, out / name)
    write_json(HERE / "results" / f"{name}.json", result)


def finished(folder: Path, spec: dict[str, Any]) -> bool:
    """Whether the folder holds the result of just this specification."""
    return (folder / "result.json").is_file() and read_json(folder / "spec.json") == json.loads(json.dumps(spec))


def child(folder: Path, script: str, spec: dict[str, Any]) -> None:
    """Run one script in a process of its own; it writes `folder`/result.json. Raises SystemExit with its last words."""
    for old in (folder, partial(folder)):
        shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    request = folder.parent / f"{folder.name}.json"
    write_json(request, spec)
    started = time.perf_counter()
    command = [sys.executable, str(HERE / script), str(request), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{folder}: {script} failed; to repeat it: {' '.join(command)}\n{done.stderr[-3000:]}")
    write_json(folder / "wall.json", {"seconds": time.perf_counter() - started})
    request.rename(folder / "spec.json")


def main() -> None:
    """Say how long it takes, run what is missing, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", choices=["quick", "full", "report"], nargs="?", default="quick")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these experiments")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="where runs are kept")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many minutes")
    parser.add_argument("--plan", action="store_true", help="say what would run and how long it takes, and stop")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    if given.profile != "report":
        experiments = read_experiments(given.profile, given.only)
        total = 0.0
        for name, experiment in experiments.items():
            missing = [s for s in steps(experiment) if not (given.out / name / s[0] / "result.json").is_file()]
            seconds = sum(s[3] for s in missing)
            total += seconds
            print(f"{name}: {len(missing)} processes to run, about {seconds / 60:,.1f} minutes", file=sys.stderr)
        print(f"in all about {total / 60:,.0f} minutes on 2 idle cores", file=sys.stderr)
        if given.plan:
            return
        for name, experiment in experiments.items():
            run(name, experiment, given.out.resolve(), until)
    print(write_report(HERE))


if __name__ == "__main__":
    main()
