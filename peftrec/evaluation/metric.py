"""What a metric is: a function of rows' weights, once the rows are sorted or binned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from peftrec.tasks.grades import Grades

Statistic = Callable[[np.ndarray], float]  # row weights float64 (N,) -> the metric's value


@dataclass(frozen=True)
class Metric:
    """One metric: `prepare(prediction, label, group)` does the work that all weightings share.

    higher     whether a larger value is better
    undefined  what the rows must have for a value to exist
    grouped    whether `group` matters to the value
    graded     whether `prepare` also takes `grades`, which says what class numbers stand for; see `of`
    """

    prepare: Callable[..., Statistic]
    higher: bool
    undefined: str = "needs at least one row"
    grouped: bool = False
    graded: bool = False

    def of(self, grades: Grades | None) -> "Metric":
        """The metric of a task with these grades; where they do not matter, or there are none, itself."""
        return replace(self, prepare=partial(self.prepare, grades=grades)) if self.graded and grades else self

    def statistic(self, prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
        """The metric as a function of row weights (N,) alone. Raises ValueError for unusable columns."""
        prediction, label, group = np.asarray(prediction), np.asarray(label), np.asarray(group)
        if not len(prediction) == len(label) == len(group):
            raise ValueError(f"{len(prediction)} predictions, {len(label)} labels and {len(group)} groups: not as many")
        for name, column in (("predictions", prediction), ("labels", label)):
            if not np.isfinite(column).all():
                raise ValueError(f"{int((~np.isfinite(column)).sum())} of the {name} are not finite numbers")
        if len(label) == 0:
            return lambda weight: np.nan
        return self.prepare(prediction.astype(np.float64), label, group)

    def __call__(
        self, prediction: np.ndarray, label: np.ndarray, group: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """The metric's value, NaN where it has none. `weight` (N,) is at least 0; None counts every row once."""
        weight = np.ones(len(label)) if weight is None else np.asarray(weight, np.float64)
        if len(weight) != len(label) or (weight < 0).any():
            raise ValueError(f"weights must be one number of at least 0 for each of {len(label)} rows")
        return float(self.statistic(prediction, label, group)(weight))


def ratio(part: Any, whole: Any) -> float:
    """part / whole; NaN where the whole is not above 0."""
    return float(part / whole) if whole > 0 else np.nan


def mean_of(rows: np.ndarray) -> Statistic:
    """The weighted mean of values (N,) of the rows."""
    rows = rows.astype(np.float64)
    return lambda weight: ratio(weight @ rows, weight.sum())
