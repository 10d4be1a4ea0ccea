"""What each part earns, from the arms' test rows: values by slices, and gains paired by user."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ablation.arms import EARNS
from benchmarks.card.judge import JUDGED_BY
from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.intervals import interval
from peftrec.evaluation.metric import Metric, Statistic
from peftrec.evaluation.metrics import find_metric

RESAMPLES = 500
# Slice -> the column that says which rows are in it, and what it must be.
SLICES = {
    "all": None,
    "warm items": ("cold_item", False),
    "cold items": ("cold_item", True),
    "warm users": ("cold_user", False),
    "cold users": ("cold_user", True),
}
FEW = 20  # rows of a slice that are needed for a value


def judged_by(kind: str) -> tuple[str, Metric]:
    """The metric that tasks of a kind are judged by, and its name."""
    name = JUDGED_BY[kind]
    return name, of_places(name) or find_metric(name)


def compared(kind: str, arms: dict[str, list[pd.DataFrame]]) -> dict[str, Any]:
    """A task of one log, by arm and then by seed the test rows as `benchmarks.ablation.one` writes them.

    {"metric", "slices": {slice: {"rows", "values": {arm: value}, "gains": {part: {"by", "interval"}}}}}: means over
    seeds; a gain above 0 is better, its interval that of paired draws of users, each drawn in every seed alike. Slices
    of fewer than FEW rows, or of all, are left out. Raises ValueError where arms are not of the same rows.
    """
    name, metric = judged_by(kind)
    for several in zip(*arms.values(), strict=True):
        if not all(_same_rows(several[0], one) for one in several[1:]):
            raise ValueError("the arms are not of the same test rows")
    found: dict[str, Any] = {}
    for said, which in SLICES.items():
        some = {
            arm: [of if which is None else of[of[which[0]] == which[1]] for of in seeds] for arm, seeds in arms.items()
        }
        rows = min(len(of) for seeds in some.values() for of in seeds)
        if rows >= FEW and (said == "all" or rows < found["all"]["rows"]):
            found[said] = {"rows": rows, **_slice(metric, some)}
    return {"metric": name, "slices": found}


def _same_rows(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.drop(columns="prediction").equals(other.drop(columns="prediction"))


def _slice(metric: Metric, arms: dict[str, list[pd.DataFrame]]) -> dict[str, Any]:
    seeds = next(iter(arms.values()))
    users, place = np.unique(np.concatenate([of["user"].to_numpy(str) for of in seeds]), return_inverse=True)
    codes = np.split(place, np.cumsum([len(of) for of in seeds])[:-1])
    statistics = {arm: [_statistic(metric, of) for of in some] for arm, some in arms.items()}

    def means(drawn: np.ndarray) -> dict[str, float]:
        weights = [drawn[code] for code in codes]
        return {
            arm: float(np.mean([of(weight) for of, weight in zip(some, weights, strict=True)]))
            for arm, some in statistics.items()
        }

    values, random, sign = means(np.ones(len(users))), np.random.default_rng(0), 1 if metric.higher else -1
    drawn = [
        means(np.bincount(random.integers(len(users), size=len(users)), minlength=len(users)).astype(float))
        for _ in range(RESAMPLES)
    ]
    gains = {}
    for part, (more, less) in EARNS.items():
        ends = interval(users, np.array([sign * (of[more] - of[less]) for of in drawn]))
        by = sign * (values[more] - values[less])
        gains[part] = {"by": _plain(by), "interval": None if np.isnan(ends).any() else list(ends)}
    return {"values": {arm: _plain(value) for arm, value in values.items()}, "gains": gains}


def _statistic(metric: Metric, rows: pd.DataFrame) -> Statistic:
    return metric.statistic(rows["prediction"].to_numpy(), rows["label"].to_numpy(), np.arange(len(rows)))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
