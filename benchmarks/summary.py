"""The children's results of one experiment as one JSON: means, intervals over seeds and users, paired differences."""

import statistics
import subprocess
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


def summarise(name: str, experiment: dict[str, Any], out: Path) -> dict[str, Any]:
    """What results/NAME.json holds."""
    result: dict[str, Any] = {"experiment": experiment, "commit": commit()}
    if "script" in experiment:
        return result | {**read_json(out / "script" / "result.json"), **read_json(out / "script" / "wall.json")}
    from bench import cells

    rows: dict[str, Any] = {}
    outcomes: dict[str, dict[str, list[Outcome]]] = {}
    wall = 0.0
    for cell, of in cells(experiment).items():
        folder = out / cell.replace(" ", "_")
        seeds = [folder / f"seed-{n}" for n in range(of["seeds"])]
        found = [read_json(seed / "result.json") for seed in seeds]
        wall += sum(read_json(f / "wall.json")["seconds"] for f in [folder / "tune", *seeds])
        outcomes[cell] = {task: [read_outcome(seed, task) for seed in seeds] for task in found[0]["metrics"]}
        rows[cell] = {
            "where": of["where"],
            "seeds": of["seeds"],
            "tuning": read_json(folder / "tune" / "result.json"),
            "tasks": {
                task: {m: over_seeds(m, outcomes[cell][task], [f["metrics"][task][m] for f in found]) for m in metrics}
                for task, metrics in found[0]["metrics"].items()
            },
            "slices": {task: mean_of([f["slices"][task] for f in found]) for task in found[0]["slices"]},
            # Of the seed that the machine's other work disturbed least.
            "cost": min((f["cost"] for f in found), key=lambda cost: cost["train_seconds"]),
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
    return result | {"environment": found[0]["environment"], "rows": rows, "seconds": wall}


def bases(cell: str, rows: dict[str, Any]) -> Iterator[str]:
    """What a cell is held against: full fine-tuning of the same tasks, the same method alone, the same in fp32."""
    where = rows[cell]["where"]
    for other, row in rows.items():
        differ = {axis for axis, value in row["where"].items() if where[axis] != value}
        full = row["where"]["method"] == "full" and differ <= {"method", "quantize", "sharing"} and "method" in differ
        alone = differ == {"tasks"} and where["tasks"] == "together"
        unquantised = differ == {"quantize"} and row["where"]["quantize"] == "fp32"
        if full or alone or unquantised:
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


def commit() -> str:
    """The last commit that changed peftrec/, with `+` when files there differ from it."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        done = subprocess.run(
            ["git", *words, "--", "../peftrec"], cwd=here, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    return ask("log", "-1", "--format=%h") + "+" * bool(ask("status", "--porcelain"))


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
