"""The children's results of one experiment as one JSON: means, intervals over seeds and users, paired differences."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.checkpoint import read_json
from peftrec.intervals import LEVEL, p_value
from peftrec.metrics import METRICS, RANKING, Metric, Statistic
from peftrec.outcomes import Outcome, read_outcome

HEADLINES = ("auc", "gauc", "log_loss", "ece", "mae", "hr@10", "ndcg@10")  # those with intervals and differences
RESAMPLES = 300
NOT_YET = "not run yet: time"


def summarise(experiment: dict[str, Any], out: Path) -> dict[str, Any]:
    """What results/NAME.json holds: of a script its result; else the cells that are finished, and those that are not,
    with the reason."""
    from bench import cells, finished, jobs

    planned = jobs(experiment, out)
    done = {job.name: job.folder for job in planned if finished(job.folder)}
    found = {name: read_json(folder / "result.json") for name, folder in done.items()}
    result: dict[str, Any] = {"experiment": experiment}
    if "script" in experiment:
        return result | found[experiment["script"]]
    rows: dict[str, Any] = {}
    outcomes: dict[str, dict[str, list[Outcome]]] = {}
    where = {cell: of["where"] for cell, of in cells(experiment).items()}
    for cell, of in found.items():
        seeds, folders = of["seeds"], [done[cell] / f"seed-{n}" for n in range(len(of["seeds"]))]
        outcomes[cell] = {task: [read_outcome(folder, task) for folder in folders] for task in seeds[0]["metrics"]}
        rows[cell] = {
            "where": where[cell],
            "seeds": len(seeds),
            "commit": of["commit"],
            "tuning": of["tuning"],
            "tasks": {
                task: {m: over_seeds(m, outcomes[cell][task], [s["metrics"][task][m] for s in seeds]) for m in metrics}
                for task, metrics in seeds[0]["metrics"].items()
            },
            "slices": {task: mean_of([s["slices"][task] for s in seeds]) for task in seeds[0]["slices"]},
            # Of the seed that the machine's other work disturbed least.
            "cost": min((s["cost"] for s in seeds), key=lambda cost: cost["cpu_seconds"])
            | {"peak_memory_mb": of["tuning"]["peak_memory_mb"]},
        }
    for cell, row in rows.items():
        row["differences"] = {}
        for base in dict.fromkeys(bases(cell, rows)):
            shared = outcomes[cell].keys() & outcomes[base].keys()
            row["differences"][base] = {
                task: {
                    m: paired_over_seeds(m, outcomes[cell][task], outcomes[base][task])
                    for m in row["tasks"][task]
                    if m in HEADLINES
                }
                for task in sorted(shared)
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


def over_seeds(name: str, outcomes: list[Outcome], values: list[float | None]) -> dict[str, Any]:
    """Mean of a metric over seeds, each seed's value, and the 95 % interval over seeds and users."""
    known = [v for v in values if v is not None]
    found: dict[str, Any] = {"value": statistics.fmean(known) if known else None, "seeds": values}
    if name in HEADLINES and known:
        found["interval"] = _ends(resampled([_prepared(name, o) for o in outcomes]))
    return found


def paired_over_seeds(name: str, own: list[Outcome], base: list[Outcome]) -> dict[str, Any]:
    """{"by", "interval", "p"} of the seeds that both have; `by` above 0 means better."""
    sign = 1 if _metric(name, own[0]).higher else -1
    pairs = []
    for one, two in zip(own, base, strict=False):
        assert one.same_rows(two), "the cells of an experiment share their test rows"
        (first, groups), (second, _) = _prepared(name, one), _prepared(name, two)
        pairs.append((lambda w, a=first, b=second: sign * (a(w) - b(w)), groups))
    by = statistics.fmean(statistic(np.ones(len(groups))) for statistic, groups in pairs)
    values = resampled(pairs)
    return {"by": by, "interval": _ends(values), "p": p_value(values), "seeds": len(pairs)}


def over_reference(metric: str, own: list[dict[str, int]], reference: dict[str, int]) -> dict[str, Any]:
    """{"by", "interval", "p"}: a ranking metric of several seeds over that of a reference, from {user: rank}."""
    pairs = []
    for ranks in own:
        assert list(ranks) == list(reference), "both rank the same users' films"
        one, two = (np.array(list(of.values()), float) for of in (ranks, reference))
        first, second = (RANKING[metric].statistic(rank, rank, rank) for rank in (one, two))
        pairs.append((lambda w, a=first, b=second: a(w) - b(w), np.array(list(ranks))))
    by = statistics.fmean(statistic(np.ones(len(reference))) for statistic, _ in pairs)
    values = resampled(pairs)
    return {"by": by, "interval": _ends(values), "p": p_value(values)}


def resampled(parts: Sequence[tuple[Statistic, np.ndarray]]) -> np.ndarray:
    """The mean over seeds under draws of seeds and, for all of them alike, of users; float64 (RESAMPLES,).

    parts  for each seed the metric over row weights, and the rows' groups as text (N,)
    """
    names = np.unique(np.concatenate([groups for _, groups in parts]).astype(str))
    rows = [np.searchsorted(names, groups.astype(str)) for _, groups in parts]
    random = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        count = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)).astype(float)
        seeds = np.bincount(random.integers(len(parts), size=len(parts)), minlength=len(parts))
        found.append(sum(n * parts[s][0](count[rows[s]]) for s, n in enumerate(seeds.tolist()) if n) / len(parts))
    return np.array(found)


def mean_of(found: list[Any]) -> Any:
    """Means over seeds of nested numbers; what is null somewhere is the first's."""
    if isinstance(found[0], dict):
        return {key: mean_of([f[key] for f in found]) for key in found[0]}
    return statistics.fmean(found) if all(isinstance(f, int | float) for f in found) else found[0]


def _metric(name: str, outcome: Outcome) -> Metric:
    return RANKING[name] if name in RANKING and outcome.rank is not None else METRICS[name]


def _prepared(name: str, outcome: Outcome) -> tuple[Statistic, np.ndarray]:
    if name in RANKING and outcome.rank is not None and outcome.ranked is not None:
        return RANKING[name].statistic(outcome.rank, outcome.rank, outcome.rank), outcome.ranked
    group = np.unique(outcome.group, return_inverse=True)[1]
    return METRICS[name].statistic(outcome.prediction, outcome.label, group), outcome.group


def _ends(values: np.ndarray) -> list[float]:
    low, high = np.nanpercentile(values, LEVEL)
    return [float(low), float(high)]
