"""The children's results of one experiment as one JSON: means, intervals over seeds and users, paired differences."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.matrix.plan import cells, finished, jobs
from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.intervals import LEVEL, p_value
from peftrec.evaluation.metric import Statistic
from peftrec.evaluation.metrics import METRICS, direction
from peftrec.evaluation.outcomes import Outcome, read_outcome
from peftrec.machine.files import read_json

HEADLINES = ("auc", "gauc", "log_loss", "ece", "mae", "hr@10", "ndcg@10")  # those with intervals and differences
RESAMPLES = 300
NOT_YET = "not run yet: time"


def summarise(experiment: dict[str, Any], out: Path) -> dict[str, Any]:
    """What results/NAME.json holds: of a study its result; else the cells that are finished, and those that are not,
    with the reason."""
    planned = jobs(experiment, out)
    done = {job.name: job.folder for job in planned if finished(job.folder)}
    found = {name: read_json(folder / "result.json") for name, folder in done.items()}
    result: dict[str, Any] = {"experiment": experiment}
    if "study" in experiment:
        return result | found[experiment["study"]]
    rows: dict[str, Any] = {}
    samples: dict[str, dict[str, dict[str, Sample]]] = {}
    outcomes: dict[str, dict[str, Outcome]] = {}
    where = {cell: of["where"] for cell, of in cells(experiment).items()}
    for cell, of in found.items():
        seeds = of["seeds"]
        samples[cell] = samples_of(done[cell], seeds)
        outcomes[cell] = {task: read_outcome(done[cell] / "seed-0", task) for task in seeds[0]["metrics"]}
        rows[cell] = {
            "where": where[cell],
            "seeds": len(seeds),
            "commit": of["commit"],
            "tasks": {
                task: {m: over_seeds(samples[cell][task][m]) for m in metrics}
                for task, metrics in seeds[0]["metrics"].items()
            },
            "slices": {task: mean_of([s["slices"][task] for s in seeds]) for task in seeds[0]["slices"]},
            # Of the seed that the machine's other work disturbed least.
            "cost": min((s["cost"] for s in seeds), key=lambda cost: cost["cpu_seconds"])
            | {"peak_memory_mb": seeds[0]["cost"]["peak_memory_mb"]},
        }
    for cell, row in rows.items():
        row["differences"] = {}
        for base in dict.fromkeys(bases(cell, rows)):
            shared = sorted(outcomes[cell].keys() & outcomes[base].keys())
            for task in shared:
                assert outcomes[cell][task].same_rows(outcomes[base][task]), "an experiment's cells share test rows"
            row["differences"][base] = {
                task: {
                    m: paired(own, samples[base][task][m]) for m, own in samples[cell][task].items() if m in HEADLINES
                }
                for task in shared
            }
    machine = next(iter(found.values()))["environment"]
    missing = {job.name: NOT_YET for job in planned if job.name not in done}
    return result | {"environment": machine, "rows": rows, "missing": missing}


def bases(cell: str, rows: dict[str, Any]) -> Iterator[str]:
    """What a cell is held against: full fine-tuning of the same tasks, the side network, itself alone, in fp32, and
    with shared adapters alone."""
    where = rows[cell]["where"]
    for other, row in rows.items():
        differ = {axis for axis, value in row["where"].items() if where[axis] != value}
        full = row["where"]["method"] == "full" and differ <= {"method", "quantize", "sharing"} and "method" in differ
        side = differ == {"method"} and row["where"]["method"] == "side"
        alone = differ == {"tasks"} and where["tasks"] == "together"
        unquantised = differ == {"quantize"} and row["where"]["quantize"] == "fp32"
        shared = differ == {"sharing"} and row["where"]["sharing"] == "shared"
        if full or side or alone or unquantised or shared:
            yield other


class Sample(NamedTuple):
    """A metric of one cell: each seed's value, and its values with users drawn again, float64 (RESAMPLES, seeds).

    All samples draw the same users in the same order, so that those of two cells are paired. `higher` is better.
    """

    values: list[float | None]
    drawn: np.ndarray
    higher: bool = True


def samples_of(folder: Path, seeds: list[dict[str, Any]]) -> dict[str, dict[str, Sample]]:
    """task -> metric -> its sample; kept in the cell's folder, since it takes seconds and never changes."""
    found: dict[str, dict[str, Sample]] = {}
    kept = folder / f"resampled-{RESAMPLES}.npz"
    drawn = dict(np.load(kept)) if kept.is_file() else {}
    complete = bool(drawn)
    for task, metrics in seeds[0]["metrics"].items():
        outcomes = [] if complete else [read_outcome(folder / f"seed-{n}", task) for n in range(len(seeds))]
        found[task] = {}
        for m in metrics:
            values = [seed["metrics"][task][m] for seed in seeds]
            known = m in HEADLINES and None not in values
            if known and not complete:
                drawn[f"{task} {m}"] = np.stack([resampled(*_prepared(m, outcome)) for outcome in outcomes], 1)
            found[task][m] = Sample(values, drawn.get(f"{task} {m}", np.zeros((0, 0))), direction(m) is not False)
    if not complete:
        np.savez(kept, **drawn)
    return found


def resampled(statistic: Statistic, groups: np.ndarray) -> np.ndarray:
    """A metric over row weights, with the rows' groups (N,) drawn with replacement, float64 (RESAMPLES,)."""
    names, rows = np.unique(groups.astype(str), return_inverse=True)
    random = np.random.default_rng(0)
    counts = (np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(RESAMPLES))
    return np.array([statistic(count.astype(float)[rows]) for count in counts])


def over_seeds(sample: Sample) -> dict[str, Any]:
    """Mean of a metric over seeds, each seed's value, and the 95 % interval over seeds and users."""
    known = [v for v in sample.values if v is not None]
    found: dict[str, Any] = {"value": statistics.fmean(known) if known else None, "seeds": sample.values}
    return found | ({"interval": _ends(_seeds_drawn(sample.drawn))} if sample.drawn.size else {})


def paired(own: Sample, base: Sample) -> dict[str, Any] | None:
    """{"by", "interval", "p"} of the seeds that both have, `by` above 0 meaning better; None without values."""
    seeds, sign = min(len(own.values), len(base.values)), 1 if own.higher else -1
    if not own.drawn.size or not base.drawn.size:
        return None
    gained = np.array(own.values[:seeds], float) - np.array(base.values[:seeds], float)
    values = sign * _seeds_drawn(own.drawn[:, :seeds] - base.drawn[:, :seeds])
    return {"by": float(sign * gained.mean()), "interval": _ends(values), "p": p_value(values), "seeds": seeds}


def _seeds_drawn(drawn: np.ndarray) -> np.ndarray:
    """Means over seeds, themselves drawn with replacement: (RESAMPLES, seeds) -> (RESAMPLES,)."""
    seeds = drawn.shape[1]
    picks = np.random.default_rng(1).integers(seeds, size=drawn.shape)
    return np.take_along_axis(drawn, picks, 1).mean(1)


def mean_of(found: list[Any]) -> Any:
    """Means over seeds of nested numbers; what is null somewhere is the first's."""
    if isinstance(found[0], dict):
        return {key: mean_of([f[key] for f in found]) for key in found[0]}
    return statistics.fmean(found) if all(isinstance(f, int | float) for f in found) else found[0]


def _prepared(name: str, outcome: Outcome) -> tuple[Statistic, np.ndarray]:
    ranking = of_places(name)
    if ranking is not None and outcome.rank is not None and outcome.ranked is not None:
        return ranking.statistic(outcome.rank, outcome.rank, outcome.lists), outcome.ranked
    group = np.unique(outcome.grouped, return_inverse=True)[1]
    return METRICS[name].statistic(outcome.prediction, outcome.label, group), outcome.group


def _ends(values: np.ndarray) -> list[float]:
    low, high = np.nanpercentile(values, LEVEL)
    return [float(low), float(high)]
