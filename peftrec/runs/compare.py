"""Finished runs side by side, with a paired test of each against the first on the same test rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from peftrec.errors import UserError
from peftrec.evaluation.at_k import CHOICE, of_places
from peftrec.evaluation.catalogue import of_each
from peftrec.evaluation.chosen import measures_of
from peftrec.evaluation.intervals import interval, p_value, paired_values
from peftrec.evaluation.metric import Metric
from peftrec.evaluation.metrics import find_metric
from peftrec.evaluation.outcomes import Outcome, read_outcome
from peftrec.machine.files import reading
from peftrec.machine.parquet import read_columns
from peftrec.recipe import SplitConfig
from peftrec.runs.folder import read_report
from peftrec.runs.saved import read_recipe
from peftrec.tasks.grades import reported_grades
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve

COSTS = ("train_seconds", "examples_per_second", "peak_memory_mb", "backbone_mb", "trainable_parameters")


def compare_runs(runs: list[Path], resamples: int = 500, trust_code: bool = False) -> dict[str, Any]:
    """{run: {"tasks": {task: {"n", "metrics", "differences"}}, "cost", "train"}}; others are held against the first.

    `differences` of a task that the first run also has: {metric: {"by", "interval", "p"}}. `by` above 0 means better
    than the first run whatever the metric's direction; interval (95 %) and two-sided p-value come from a bootstrap
    of whole users (or queries) in which both runs are valued under the same draws. `cost` is that of `report.json` with
    the bytes of all adapters added up; `train` what they were trained by, as it was given or chosen, where they differ.

    `trust_code`: see `read_recipe`. Raises UserError for fewer than two runs, one named twice, a damaged one, or runs
    whose test rows or splits differ.
    """
    if len(runs) < 2:
        raise UserError(f"compare: name two runs or more; found {len(runs)}")
    if len({run.resolve() for run in runs}) < len(runs):
        raise UserError(f"compare: a run is named twice: {' '.join(map(str, runs))}")
    reports = {run: read_report(run) for run in runs}
    # Once a run, not once a task: reading verifies every file.
    recipes = {run: read_recipe(run, trust_code) for run in runs}
    first, *others = runs
    split = recipes[first].data.split
    for run in others:
        if (own := recipes[run].data.split) != split:
            raise UserError(
                f"{run} cannot be compared with {first}: data.split differs: {_keys(own)} against {_keys(split)}"
            )
        if not reports[run]["tasks"].keys() & reports[first]["tasks"].keys():
            names = (", ".join(reports[r]["tasks"]) for r in (run, first))
            raise UserError(f"{run} cannot be compared with {first}: no task in common: {' against '.join(names)}")
    tasks = {run: resolve(recipe) for run, recipe in recipes.items()}
    base = {task: read_outcome(first, task) for task in reports[first]["tasks"]}
    found: dict[str, Any] = {}
    settings = _where_they_differ({run: report.get("train", {}) for run, report in reports.items()})
    for run, report in reports.items():
        found[str(run)] = {"tasks": {}, "cost": _cost(run, report["cost"]), "train": settings[run]}
        for task, of in report["tasks"].items():
            differences = {}
            if run != first and task in base:
                with reading(run):
                    differences = _differences(run, first, tasks[run][task], base[task], reports, resamples)
            of_task = {"n": of["n"], "metrics": of["metrics"], "differences": differences}
            found[str(run)]["tasks"][task] = of_task
    return found


def _where_they_differ(settings: dict[Path, dict[str, Any]]) -> dict[Path, dict[str, Any]]:
    """Those keys of each run that have not one value in all of them; runs of before say none."""
    first, *others = settings.values()
    keys = dict.fromkeys(key for of in settings.values() for key in of)
    different = [key for key in keys if any(of.get(key) != first.get(key) for of in others)]
    return {run: {key: of[key] for key in different if key in of} for run, of in settings.items()}


def _cost(run: Path, cost: dict[str, Any]) -> dict[str, Any]:
    with reading(run / "report.json"):
        return {name: cost[name] + 0 for name in COSTS} | {"adapter_bytes": sum(cost["adapter_bytes"].values())}


def _differences(
    run: Path, first: Path, task: Task, base: Outcome, reports: dict[Path, dict[str, Any]], resamples: int
) -> dict[str, dict[str, Any]]:
    report, other = (reports[of]["tasks"][task.name] for of in (run, first))
    gains = [of.get("gain") for of in (report, other)]  # runs of before do not say
    if None not in gains and gains[0] != gains[1]:
        raise UserError(
            f"{run} cannot be compared with {first}: tasks.{task.name}.gain differs: {' against '.join(gains)}"
        )
    asked = [of.get("relevant", "one") for of in (report, other)]
    if asked[0] != asked[1]:
        raise UserError(
            f"{run} cannot be compared with {first}: tasks.{task.name}.relevant differs: {' against '.join(asked)}"
        )
    own = read_outcome(run, task.name)
    if not own.same_rows(base):
        counts = f"{len(own.label):,} against {len(base.label):,}"
        raise UserError(
            f"{run} cannot be compared with {first}: the test rows of task {task.name!r} differ ({counts} rows): "
            "train both on the same data and split, with the same column and threshold, and with the same train.seed "
            "where it draws the rows that are held out"
        )
    if own.rank is not None and _catalogue(run) != _catalogue(first):
        raise UserError(f"{run} cannot be compared with {first}: their catalogues hold different items")
    measures, found = measures_of(task, own.impression is not None), {}
    # Names that the recipe has: a report may hold any.
    for name in report["metrics"]:
        if name in (*measures.predictions, *measures.choice):
            metric = CHOICE[name] if name in measures.choice else find_metric(name).of(reported_grades(report))
            columns = own.label, own.grouped, resamples, own.group
            found[name] = difference(metric, own.prediction, base.prediction, *columns)
        elif name in (*measures.places, *own.each) and (pair := _of_lists(name, own, base)):
            metric = of_each(name) if name in own.each else of_places(name) or find_metric(name)
            found[name] = difference(metric, *pair, pair[0], own.lists, resamples, own.ranked)
    return found


def _of_lists(name: str, own: Outcome, base: Outcome) -> tuple[np.ndarray, np.ndarray] | None:
    """What a metric of the ranked catalogue reads of both runs; None where one of them has it not."""
    one, other = (of.each.get(name) if name in own.each else of.rank for of in (own, base))
    return None if one is None or other is None else (one, other)


def _catalogue(run: Path) -> list[str]:
    table = read_columns(run / "catalogue.parquet", {"id": "texts"})
    names: list[str] = table["id"].cast(pa.string()).to_pylist()
    return names


def _keys(split: SplitConfig) -> str:
    return ", ".join(f"{name}: {value}" for name, value in split.model_dump(exclude_none=True).items())


def difference(
    metric: Metric,
    own: np.ndarray,
    base: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    resamples: int = 500,
    cluster: np.ndarray | None = None,
) -> dict[str, Any]:
    """{"by", "interval", "p"} of predictions `own` over `base` on the same rows; null where it has no value.

    `cluster`: see `evaluation.intervals.bootstrap`.
    """
    cluster = group if cluster is None else cluster
    sign = 1 if metric.higher else -1
    by = sign * (metric(own, label, group) - metric(base, label, group))
    values = sign * paired_values(metric, own, base, label, group, resamples, cluster=cluster)
    low, high = interval(cluster, values)
    known = not (np.isnan(by) or np.isnan(low))
    return {
        "by": None if np.isnan(by) else by,
        "interval": [low, high] if known else None,
        "p": p_value(values) if known else None,
    }
