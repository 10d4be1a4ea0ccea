"""Metrics of rows with several labels: predictions are each class's probability, float (N, C); labels 1 or 0 (N, C)."""

import numpy as np

from peftrec.evaluation.metric import Statistic, mean_of, ratio

SURE = 0.5  # a class is chosen from this probability on


def micro_f1(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """F1 of all rows' labels together: 2 * right / (chosen + true)."""
    truth = _truth(prediction, label)
    chosen = prediction >= SURE
    right, both = (chosen & truth).sum(1), chosen.sum(1) + truth.sum(1)
    return lambda weight: ratio(2 * (weight @ right), weight @ both)


def macro_f1(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Unweighted mean of the classes' F1, over classes that any row has or is given."""
    truth = _truth(prediction, label)
    chosen = prediction >= SURE
    right, both = (chosen & truth).astype(np.float64), chosen.astype(np.float64) + truth

    def statistic(weight: np.ndarray) -> float:
        hits, total = weight @ right, weight @ both
        occurs = total > 0
        return float((2 * hits[occurs] / total[occurs]).mean()) if occurs.any() else np.nan

    return statistic


def mean_average_precision(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Unweighted mean of the classes' average precision, over classes that any row has.

    Of one class: the precision among the rows that score at least as high, averaged over the rows that have it.
    """
    truth = _truth(prediction, label)
    order = np.argsort(-prediction, axis=0, kind="stable")
    score, truth = (np.take_along_axis(of, order, 0) for of in (prediction, truth))
    rows = np.arange(len(score))[:, None]
    last = np.append(score[1:] != score[:-1], np.ones((1, score.shape[1]), bool), 0)
    # The last row of those that tie with each, from the end upwards.
    end = np.minimum.accumulate(np.where(last, rows, len(score))[::-1], 0)[::-1]

    def statistic(weight: np.ndarray) -> float:
        ordered = weight[order]
        having = ordered * truth
        above, having_above = (np.take_along_axis(np.cumsum(of, 0), end, 0) for of in (ordered, having))
        precision = having_above / np.where(above > 0, above, 1)
        total = having.sum(0)
        occurs = total > 0
        return float(((having * precision).sum(0)[occurs] / total[occurs]).mean()) if occurs.any() else np.nan

    return statistic


def log_loss(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """Mean over rows and classes of -log(probability of what is true), which is not clipped here."""
    truth = _truth(prediction, label)
    return mean_of(-np.log(np.where(truth, prediction, 1 - prediction)).mean(1))


def _truth(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Labels as bool (N, C), checked."""
    if label.shape != prediction.shape or label.ndim != 2:
        raise ValueError(f"needs labels (N, C), as many as predictions; found {label.shape} and {prediction.shape}")
    wrong = (label != 0) & (label != 1)
    if wrong.any():
        row = int(wrong.any(1).argmax())
        raise ValueError(f"labels must be 1 or 0 for each class; found {label[row][wrong[row]][0]} in row {row}")
    truth: np.ndarray = label == 1
    return truth
