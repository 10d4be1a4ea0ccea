"""95 % percentile bootstrap intervals, clustered: whole groups (users, queries) are drawn, never single rows."""

from collections.abc import Iterator

import numpy as np

from peftrec.evaluation.metric import Metric

LEVEL = (2.5, 97.5)


def draws(group: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row weights float64 (N,) of each resample: how often the row's group was drawn, with replacement."""
    names, cluster = np.unique(group, return_inverse=True)
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = rng.integers(len(names), size=len(names))
        yield np.bincount(drawn, minlength=len(names)).astype(np.float64)[cluster]


def bootstrap(
    metric: Metric,
    prediction: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    resamples: int = 500,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> tuple[float, float]:
    """The metric's 95 % interval (low, high). Equal seeds draw equal groups, whatever the metric and the prediction.

    `cluster` (N,): what is drawn whole where groups belong together, as the lists that a user was shown do.

    Resamples in which the metric has no value are left out. (NaN, NaN) when there are fewer than two groups to draw
    from, or the metric has a value in fewer than half of the resamples.
    """
    statistic, cluster = metric.statistic(prediction, label, group), group if cluster is None else cluster
    return interval(cluster, np.array([statistic(weight) for weight in draws(cluster, resamples, seed)]))


def paired(
    metric: Metric,
    first: np.ndarray,
    second: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    resamples: int = 500,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> tuple[float, float]:
    """95 % interval of metric(first) - metric(second) on the same rows, both valued under the same draws."""
    cluster = group if cluster is None else cluster
    return interval(cluster, paired_values(metric, first, second, label, group, resamples, seed, cluster))


def paired_values(
    metric: Metric,
    first: np.ndarray,
    second: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    resamples: int = 500,
    seed: int = 0,
    cluster: np.ndarray | None = None,
) -> np.ndarray:
    """metric(first) - metric(second) under each draw, float64 (resamples,); NaN where it has no value."""
    one, two = metric.statistic(first, label, group), metric.statistic(second, label, group)
    drawn = draws(group if cluster is None else cluster, resamples, seed)
    return np.array([one(weight) - two(weight) for weight in drawn])


def p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of no difference, from differences under paired draws; NaN without any.

    Twice the share of draws on the rarer side of zero, those at zero on both, one draw added to each side (Davison and
    Hinkley 1997, 4.2.3): never below 2 / (draws + 1).
    """
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return np.nan
    rarer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(defined) + 1))


def interval(group: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a metric's values under draws of groups (N,); (NaN, NaN) as `bootstrap` says."""
    defined = values[~np.isnan(values)]
    if len(group) == 0 or (group == group[0]).all() or 2 * len(defined) < max(len(values), 1):
        return np.nan, np.nan
    low, high = np.percentile(defined, LEVEL)
    return float(low), float(high)
