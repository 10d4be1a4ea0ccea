"""Arms on the same test rows: values by slices, and gains of one over another, paired by user."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

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
    "repeats": ("repeat", True),
    "new": ("repeat", False),
}
COLD_AND_WARM = list(SLICES)[:5]
FEW = 20  # rows of a slice that are needed for a value


Pairs = Mapping[str, tuple[str, str]]  # what a gain is called -> the arm that gains, and the one it is over


def compared(
    name: str, arms: Mapping[str, list[pd.DataFrame]], pairs: Pairs, slices: Iterable[str] = COLD_AND_WARM
) -> dict[str, Any]:
    """A metric by slices; `arms`: by seed the test rows as `benchmarks.ablation.one` writes them.

    {slice: {"rows", "values": {arm: value}, "gains": {pair: {"by", "interval"}}}}: means over seeds; a gain above 0 is
    better, its interval that of paired draws of users, each drawn in every seed alike. Slices of fewer than FEW rows,
    or of all, are left out. Raises ValueError where arms are not of the same rows.
    """
    metric = of_places(name) or find_metric(name)
    arms = {arm: [_by_user(of) for of in seeds] for arm, seeds in arms.items()}
    for several in zip(*arms.values(), strict=True):
        if not all(_same_rows(several[0], one) for one in several[1:]):
            raise ValueError("the arms are not of the same test rows")
    found: dict[str, Any] = {}
    for said in slices:
        which = SLICES[said]
        some = {
            arm: [of if which is None else of[of[which[0]] == which[1]] for of in seeds] for arm, seeds in arms.items()
        }
        rows = min(len(of) for seeds in some.values() for of in seeds)
        if rows >= FEW and (said == "all" or rows < found["all"]["rows"]):
            found[said] = {"rows": rows, **_slice(metric, some, pairs)}
    return found


def _by_user(rows: pd.DataFrame) -> pd.DataFrame:
    """Each user's rows as they stand, users by name: a table of users gives them another order."""
    return rows.sort_values("user", kind="stable", ignore_index=True)


def _same_rows(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.drop(columns="prediction").equals(other.drop(columns="prediction"))


def _slice(metric: Metric, arms: dict[str, list[pd.DataFrame]], pairs: Pairs) -> dict[str, Any]:
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
    for part, (more, less) in pairs.items():
        ends = interval(users, np.array([sign * (of[more] - of[less]) for of in drawn]))
        by = sign * (values[more] - values[less])
        gains[part] = {"by": _plain(by), "interval": None if np.isnan(ends).any() else list(ends)}
    return {"values": {arm: _plain(value) for arm, value in values.items()}, "gains": gains}


def _statistic(metric: Metric, rows: pd.DataFrame) -> Statistic:
    return metric.statistic(rows["prediction"].to_numpy(), rows["label"].to_numpy(), np.arange(len(rows)))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
