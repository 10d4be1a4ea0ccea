"""What an experiment runs: its cells as recipes, each one process, and the folder where each result belongs.

An experiment file says what it asks, then gives a recipe and the axes whose product is its cells, or a study.
"""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.places import EXPERIMENTS
from peftrec.recipe import make_recipe, parse_yaml
from peftrec.recipe.load import apply_overrides
from peftrec.recipe.shipped import load_recipe

START_SECONDS = 10  # of a child: imports, data, cached states
SEED_SECONDS = 40  # of a training: data and states again, what tasks begin at, evaluation


def read_experiments(profile: str, only: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """name -> experiment of a profile; Raises SystemExit for a name that is not there."""
    found = {p.stem: parse_yaml(p.read_text(encoding="utf-8"), p.name) for p in sorted(EXPERIMENTS.glob("*.yaml"))}
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
    if "study" in experiment:
        spec = {"module": f"studies.{experiment['study']}", "options": experiment.get("options", {})}
        return [Job(experiment["study"], spec, experiment["seconds"], folder_of(out, spec))]
    found = []
    for name, cell in cells(experiment).items():
        if profile == "quick" and not any(_matches(cell["where"], rule) for rule in experiment.get("quick", [{}])):
            continue
        spec = {"module": "matrix.measure", "recipe": cell["recipe"], "seeds": cell["seeds"]}
        each = SEED_SECONDS + cell["recipe"]["train"]["max_steps"] * cell["step_seconds"]
        seconds = START_SECONDS + spec["seeds"] * each
        found.append(Job(name, spec, seconds, folder_of(out, spec)))
    return found


def folder_of(out: Path, spec: dict[str, Any]) -> Path:
    """Where the result of just this specification belongs."""
    return out / hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def finished(folder: Path) -> bool:
    """Whether a child has left its result there."""
    return (folder / "spec.json").is_file()
