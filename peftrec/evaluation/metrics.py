"""Metrics with row weights: each sorts or bins its rows once and then values any weighting of them.

A weight of 2 counts a row twice, so a bootstrap is a list of weightings of the same rows (`evaluation.intervals`).

Predictions of N rows: float (N, C) class probabilities, float (N,) the probability of label 1, or float (N,) numbers
in the label's unit. Labels are (N,), or 1 and 0 (N, C) where a row has several (`evaluation.tags`). Where a metric has
no value (AUC of a single class, nDCG without a relevant candidate, R² of a constant label, anything of no rows) it is
NaN, and `Metric.undefined` says what it would need; GAUC and nDCG leave out the groups that have no value, and are NaN
when no group has one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from peftrec.evaluation import impressions, tags
from peftrec.evaluation.at_k import AT_K, CHOICE, of_places, split_name
from peftrec.evaluation.beyond import BEYOND
from peftrec.evaluation.metric import Metric, Statistic, mean_of, ratio
from peftrec.recipe.names import find
from peftrec.tasks.grades import Grades

BINS = 15  # of the calibration error
_CLIP = 1e-7  # float32 probabilities reach exactly 0 and 1, whose log-loss would be infinite


def accuracy(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Share of rows whose most probable class is the label; the first of equally probable classes counts."""
    return mean_of(_chosen(prediction) == _classes(prediction, label))


def macro_f1(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Unweighted mean of the classes' F1, over classes that occur among labels or choices; never chosen: 0.

    Of rows with several labels, (N, C), each class counts by itself, chosen from a probability of 0.5 on.
    """
    if label.ndim == 2:
        return tags.macro_f1(prediction, label, group)
    chosen, truth = _chosen(prediction), _classes(prediction, label)
    classes, right = int(max(chosen.max(), truth.max())) + 1, chosen == truth

    def statistic(weight: np.ndarray) -> float:
        both = np.bincount(truth, weight, classes) + np.bincount(chosen, weight, classes)
        hits = np.bincount(truth, weight * right, classes)
        occurs = both > 0
        return float((2 * hits[occurs] / both[occurs]).mean()) if occurs.any() else np.nan

    return statistic


def auc(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Probability that a positive row scores above a negative one, ties counting half.

    With more than two classes: the unweighted mean over one class against the rest, over classes having both sides.
    """
    truth, one = _classes(prediction, label), np.zeros(len(label), np.int64)
    if prediction.ndim == 2 and prediction.shape[1] > 2:
        pairs = [_pairs(prediction[:, c], truth == c, one) for c in range(prediction.shape[1])]
    else:
        pairs = [_pairs(_positive_score(prediction), truth == 1, one)]

    def statistic(weight: np.ndarray) -> float:
        won, positive, negative = (np.concatenate(part) for part in zip(*(p(weight) for p in pairs), strict=True))
        both = (positive > 0) & (negative > 0)
        return float((won[both] / (positive[both] * negative[both])).mean()) if both.any() else np.nan

    return statistic


def gauc(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean of the groups' own AUC weighted by their rows, over groups with both classes (Zhu et al. 2017, DIN 2018)."""
    pairs = _pairs(_positive_score(prediction), _classes(prediction, label) == 1, group)

    def statistic(weight: np.ndarray) -> float:
        won, positive, negative = pairs(weight)
        both = (positive > 0) & (negative > 0)
        won, positive, negative = won[both], positive[both], negative[both]
        return ratio(won / (positive * negative) @ (positive + negative), float((positive + negative).sum()))

    return statistic


def log_loss(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean of -log(probability of the label), in nats; probabilities are kept 1e-7 away from 0 and 1.

    Of rows with several labels, (N, C), the mean over the classes too.
    """
    if label.ndim == 2:
        return tags.log_loss(prediction.clip(_CLIP, 1 - _CLIP), label, group)
    truth = _classes(prediction, label)
    if prediction.ndim == 1:
        prediction = np.stack([1 - prediction, prediction], 1)
    return mean_of(-np.log(prediction[np.arange(len(truth)), truth].clip(_CLIP, 1 - _CLIP)))


def ece(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017).

    (N,) compares the probability of label 1 with its frequency; (N, C) the top class's probability with its accuracy.
    """
    truth = _classes(prediction, label)
    sure = prediction if prediction.ndim == 1 else prediction.max(1)
    happened = truth if prediction.ndim == 1 else _chosen(prediction) == truth
    bins, gap = (sure * BINS).astype(np.int64).clip(0, BINS - 1), sure - happened
    return lambda weight: ratio(float(np.abs(np.bincount(bins, weight * gap)).sum()), float(weight.sum()))


def ndcg(
    prediction: np.ndarray, label: np.ndarray, group: np.ndarray, k: int = 10, grades: Grades | None = None
) -> Statistic:
    """Mean nDCG@k of the groups' candidates ordered by expected grade, with the grades' gains.

    Without `grades` class numbers are grades, of gain 2^grade - 1 (Burges et al. 2005). Tied candidates share the mean
    gain of their places (McSherry and Najork 2008). Groups without a grade above 0 have no value. A group weighs as
    much as its average row.
    """
    truth = _classes(prediction, label)
    grades = grades or Grades(np.arange(2.0 if prediction.ndim == 1 else prediction.shape[1]), "exponential")
    score = prediction if prediction.ndim == 1 else grades.score(prediction)
    _, cluster, size = np.unique(group, return_inverse=True, return_counts=True)
    gain = grades.gains[truth]
    ideal, value = _dcg(gain, gain, cluster, size, k), _dcg(score, gain, cluster, size, k)
    defined = ideal > 0
    value = np.where(defined, value / np.where(defined, ideal, 1), 0)
    share, total = (defined / size)[cluster], (value / size)[cluster]
    return lambda weight: ratio(weight @ total, weight @ share)


def mae(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean absolute error, in the label's unit."""
    return mean_of(np.abs(prediction - label))


def rmse(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Root of the mean squared error, in the label's unit."""
    mean = mean_of((prediction - label) ** 2)
    return lambda weight: float(np.sqrt(mean(weight)))


def r2(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Share of the label's variance explained: 1 - squared error / squared distance to the rows' own mean."""
    error = (prediction - label) ** 2
    centred = label - label.mean(dtype=np.float64)  # keeps the difference of sums below accurate

    def statistic(weight: np.ndarray) -> float:
        total, around_zero = weight.sum(), weight @ centred**2
        spread = around_zero - (weight @ centred) ** 2 / total if total > 0 else 0.0
        return 1 - (weight @ error) / spread if spread > 1e-12 * around_zero else np.nan

    return statistic


_BOTH = "needs rows of at least two classes"
_LISTS = "needs a list of which something was clicked and something not"


def _graded_ndcg(k: int) -> Metric:
    undefined = "needs a group with a grade above 0"
    return Metric(partial(ndcg, k=k), higher=True, undefined=undefined, grouped=True, graded=True)


def _of_lists(prepare: Callable[..., Statistic], **options: Any) -> Metric:
    return Metric(partial(prepare, **options), higher=True, undefined=_LISTS, grouped=True)


def _of_clicks(name: str, k: int) -> Metric:
    return _of_lists(impressions.at_k, name=name, k=k)


# Of the first k: name without @k -> k -> the metric. Those of lists that were shown are the others of a catalogue.
OF_K: dict[str, Callable[[int], Metric]] = {
    "ndcg": _graded_ndcg,
    **{f"impression_{name}": partial(_of_clicks, name) for name in AT_K},
    "impression_ndcg": lambda k: _of_lists(impressions.ndcg, k=k),
}

METRICS = {
    "accuracy": Metric(accuracy, higher=True),
    "macro_f1": Metric(macro_f1, higher=True),
    "micro_f1": Metric(tags.micro_f1, higher=True, undefined="needs a row that has or is given a label"),
    "mean_ap": Metric(tags.mean_average_precision, higher=True, undefined="needs a row that has a label"),
    "auc": Metric(auc, higher=True, undefined=_BOTH),
    "gauc": Metric(gauc, higher=True, undefined="needs a group with rows of both classes", grouped=True),
    "log_loss": Metric(log_loss, higher=False),
    "ece": Metric(ece, higher=False),
    "ndcg@10": OF_K["ndcg"](10),
    "mae": Metric(mae, higher=False),
    "rmse": Metric(rmse, higher=False),
    "r2": Metric(r2, higher=True, undefined="needs labels that differ"),
    "impression_auc": _of_lists(impressions.auc),
    "impression_mrr": _of_lists(impressions.mrr),
    "impression_ndcg@5": OF_K["impression_ndcg"](5),
    "impression_ndcg@10": OF_K["impression_ndcg"](10),
}

# Those that tasks have beside their kind's where rows stand in lists that were shown.
OF_IMPRESSIONS = ("impression_auc", "impression_mrr", "impression_ndcg@5", "impression_ndcg@10")


def find_metric(name: str) -> Metric:
    """The metric of METRICS or, for any k, of OF_K; or one of one's own as `package.module:name`. Raises UserError."""
    base, k = split_name(name)
    if k is not None and base in OF_K:
        return OF_K[base](k)
    return find(METRICS, name, "metric", Metric)


def direction(name: str) -> bool | None:
    """Whether a larger value of the metric is better, whatever it is of; None of one that is not ours."""
    base, k = split_name(name)
    if k is not None and base in BEYOND:
        return BEYOND[base].higher
    known = of_places(name) or METRICS.get(name) or CHOICE.get(name)
    if known is None and k is not None and base in OF_K:
        known = OF_K[base](k)
    return None if known is None else known.higher


def is_higher(name: str) -> bool:
    """Whether a larger value of the metric is better. Raises UserError for one that nobody knows."""
    found = direction(name)
    return find_metric(name).higher if found is None else found


def metric(name: str, **options: Any) -> Any:
    """A metric of `METRICS` as an `evaluate.Metric`, for use alone or in `evaluate.combine([...])`, offline too.

    `compute(predictions=, references=[, groups=])` returns {name: value}; gauc and ndcg@10 need `groups`, every one
    takes `sample_weight`. `options` go to `evaluate.Metric`, such as `keep_in_memory=True`. Raises UserError for a name
    that no metric has.

    >>> auc = peftrec.metric("auc", keep_in_memory=True)
    >>> auc.compute(predictions=[0.9, 0.2, 0.6, 0.4], references=[1, 0, 0, 1])
    {'auc': 0.75}
    >>> gauc = peftrec.metric("gauc", keep_in_memory=True)
    >>> gauc.compute(predictions=[0.9, 0.2, 0.6, 0.4], references=[1, 0, 0, 1], groups=[7, 7, 8, 8])
    {'gauc': 0.5}
    """
    chosen = find_metric(name)
    import datasets  # these two take seconds to import, and training needs neither
    import evaluate

    class PeftrecMetric(evaluate.Metric):  # type: ignore[misc]
        """One metric of peftrec; its configuration is the metric's name, so that no two share a cache folder."""

        def _info(self) -> evaluate.MetricInfo:
            columns = {"references": datasets.Value("float64")}
            if chosen.grouped:
                columns["groups"] = datasets.Value("int64")
            number = datasets.Value("float64")
            several = datasets.Sequence(number)
            forms = [{"predictions": form, **columns} for form in (number, several)]
            forms.append({"predictions": several, **columns, "references": several})
            return evaluate.MetricInfo(
                description=str(getattr(chosen.prepare, "func", chosen.prepare).__doc__),
                citation="",
                inputs_description="predictions: probabilities (N, C), or numbers (N,); references: as many labels",
                features=[datasets.Features(form) for form in forms],
            )

        def _compute(
            self, *, predictions: Any, references: Any, groups: Any = None, sample_weight: Any = None
        ) -> dict[str, float]:
            label = np.asarray(references)
            group = np.zeros(len(label), np.int64) if groups is None else np.asarray(groups)
            return {name: chosen(np.asarray(predictions), label, group, sample_weight)}

    return PeftrecMetric(config_name=name, **options)


def _classes(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Labels as class numbers int64 (N,), checked against the prediction's classes."""
    classes = 2 if prediction.ndim == 1 else prediction.shape[1]
    truth = label.astype(np.int64)
    wrong = (truth != label) | (truth < 0) | (truth >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"labels must be class numbers from 0 to {classes - 1}; found {label[row]} in row {row}")
    return truth


def _chosen(prediction: np.ndarray) -> np.ndarray:
    return (prediction >= 0.5).astype(np.int64) if prediction.ndim == 1 else prediction.argmax(1)


def _positive_score(prediction: np.ndarray) -> np.ndarray:
    if prediction.ndim == 2 and prediction.shape[1] != 2:
        raise ValueError(f"needs two classes, found {prediction.shape[1]}")
    return prediction if prediction.ndim == 1 else prediction[:, 1]


def _starts(*columns: np.ndarray) -> np.ndarray:
    """First index of every run of rows that agree in all columns."""
    changes = np.ones(len(columns[0]), bool)
    changes[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(changes)


def _pairs(
    score: np.ndarray, positive: np.ndarray, group: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row weights -> for every group: (positive, negative) pairs in right order, positives, negatives, all weighted."""
    order = np.lexsort((score, group))
    tie = _starts(group[order], score[order])  # rows of a group that share a score
    first = _starts(group[order][tie])  # of every group, counted in ties
    group_of_tie = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(tie))))
    sign = positive[order]

    def count(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weight = weight[order]
        above = np.add.reduceat(weight * sign, tie)
        below = np.add.reduceat(weight * ~sign, tie)
        lower = np.cumsum(below) - below
        lower -= lower[first][group_of_tie]
        won = np.add.reduceat(above * (lower + below / 2), first)
        return won, np.add.reduceat(above, first), np.add.reduceat(below, first)

    return count


def _dcg(score: np.ndarray, gain: np.ndarray, cluster: np.ndarray, size: np.ndarray, k: int) -> np.ndarray:
    """DCG@k of every cluster (G,), tied scores sharing the mean gain of their places."""
    order = np.lexsort((-score, cluster))
    cluster, score = cluster[order], score[order]
    place = np.arange(len(order)) - (np.cumsum(size) - size)[cluster] + 1
    discount = np.where(place <= k, 1 / np.log2(1 + place), 0)
    tie = _starts(cluster, score)
    count = np.diff(np.append(tie, len(order)))
    shared = np.add.reduceat(gain[order], tie) / count * np.add.reduceat(discount, tie)
    return np.bincount(cluster[tie], shared, len(size))
