"""Values of metrics with their intervals, beside those of priors and the gain over the best of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftrec.data.examples import Examples
from peftrec.evaluation.intervals import bootstrap, paired
from peftrec.evaluation.metric import Metric

Report = dict[str, Any]
AT_BEST = "at_best_share"  # beside validation metrics: the least error over shares of what a head learned
PARTS = ("metrics", "intervals", "priors", "gains", "undefined")


@dataclass(frozen=True)
class Columns:
    """What metrics read beside predictions.

    label    (N,) or (N, C)
    group    (N,): what metrics of groups go by
    cluster  (N,): what is drawn whole for intervals. Of lists that users were shown, users: what one of them sees and
             clicks is alike
    """

    label: np.ndarray
    group: np.ndarray
    cluster: np.ndarray

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: np.ndarray) -> "Columns":
        """Those of some rows."""
        return Columns(self.label[rows], self.group[rows], self.cluster[rows])


def labelled(examples: Examples) -> Columns:
    """Of rows with labels."""
    return Columns(examples.label, examples.group, examples.users)


def listed(of: np.ndarray, users: np.ndarray) -> Columns:
    """Of rows that stand in lists `of` (N,), for `users` (N,)."""
    return Columns(np.ones(len(of)), of, users)


def measure(
    metrics: Mapping[str, Metric],
    prediction: np.ndarray,
    priors: Mapping[str, np.ndarray],
    columns: Columns,
    resamples: int,
    gains: bool = True,
) -> Report:
    """Values, intervals, priors and, with `gains`, gains of some metrics on the same rows."""
    label, group, cluster = columns.label, columns.group, columns.cluster
    values = {name: metric(prediction, label, group) for name, metric in metrics.items()}
    report: Report = {
        "metrics": {name: number_or_none(value) for name, value in values.items()},
        "intervals": {},
        "priors": {
            prior: {name: number_or_none(metric(trivial, label, group)) for name, metric in metrics.items()}
            for prior, trivial in priors.items()
        },
        "gains": {},
        "undefined": {name: metrics[name].undefined for name, value in values.items() if np.isnan(value)},
    }
    for name, metric in metrics.items():
        sign = 1 if metric.higher else -1
        if resamples:
            report["intervals"][name] = _pair(bootstrap(metric, prediction, label, group, resamples, cluster=cluster))
        known = {prior: of[name] * sign for prior, of in report["priors"].items() if of[name] is not None}
        if gains and known and report["metrics"][name] is not None:
            best = max(known, key=lambda prior: known[prior])
            gain: Report = {"prior": best, "by": sign * values[name] - known[best]}
            if resamples:
                ends = paired(metric, prediction, priors[best], label, group, resamples, cluster=cluster)
                gain["interval"] = _pair((sign * ends[0], sign * ends[1]))
            report["gains"][name] = gain
    return report


def merge(report: Report, more: Report) -> None:
    """Add what was measured of other metrics."""
    for part, values in more.items():
        for name, value in values.items():
            if part == "priors":
                report[part].setdefault(name, {}).update(value)
            else:
                report[part][name] = value


def number_or_none(value: float) -> float | None:
    """A metric's value as JSON has it: null for NaN."""
    return None if np.isnan(value) else float(value)


def _pair(ends: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(ends[0]) else sorted(float(end) + 0.0 for end in ends)  # + 0.0: no -0.0
