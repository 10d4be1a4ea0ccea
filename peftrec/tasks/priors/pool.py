"""Several fitted predictors as one: weights of their scores that validation rows choose, and folds of train rows."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import log_softmax

from peftrec.data.examples import Examples
from peftrec.tasks.priors.choice import Scores

FOLDS = 5
MANY = 500_000  # rows times classes, of which a fit takes many seconds: then fewer folds
FEW_FOLDS = 3
UNSEEN = 5.0  # log-odds by which a class never seen is less likely than the least likely one


def finite(scores: np.ndarray) -> np.ndarray:
    """Log-scores (N, C) with minus infinity, of classes never seen, as some way below the others of the row; numbers
    (N,) as they are."""
    if scores.ndim == 1 or np.isfinite(scores).all():
        return scores
    seen = np.isfinite(scores)
    least = np.where(seen, scores, np.inf).min(1, keepdims=True)
    return np.where(seen, scores, least - UNSEEN)


def pooled(scores: Sequence[np.ndarray], label: np.ndarray, classes: int) -> np.ndarray:
    """Weights (K,), none below 0, of K predictors' scores (N, C), so that their sum fits the labels best.

    Logarithmic pooling (Genest & Zidek 1986): the sum's softmax, or for labels (N, C) its sigmoid, has the least
    log-loss, labels smoothed as `priors.choice.judge` does. Of numbers (N,) the least squared error.
    """
    from scipy.optimize import minimize, nnls

    if not classes:
        found: np.ndarray = nnls(np.stack(scores, 1).astype(np.float64), label.astype(np.float64))[0]
        return found
    stacked = np.stack([finite(of) for of in scores]).astype(np.float64)  # (K, N, C)
    doubt = 1 / (len(label) + 2)
    if label.ndim == 1:
        wanted = np.full(stacked.shape[1:], doubt / classes)
        wanted[np.arange(len(label)), label] += 1 - doubt
    else:
        wanted = label * (1 - 2 * doubt) + doubt

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        raw = np.tensordot(weights, stacked, 1)
        if label.ndim == 1:
            chances = log_softmax(raw, axis=1)
            value, slope = -(wanted * chances).sum() / len(label), (np.exp(chances) - wanted) / len(label)
        else:
            value = (np.logaddexp(0, raw) - wanted * raw).mean()
            slope = (0.5 * (1 + np.tanh(raw / 2)) - wanted) / raw.size
        return float(value), (stacked * slope).sum((1, 2))

    begin = np.full(len(stacked), 1 / len(stacked))
    best = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(stacked))
    weights: np.ndarray = best.x
    return weights


def folds_of(count: int, folds: int = FOLDS) -> np.ndarray:
    """The fold of each of so many rows or groups, int (N,), the same every time."""
    return np.random.default_rng(0).permutation(count) % folds


def out_of_fold(rows: Examples, classes: int, fit: Callable[[Examples], Scores]) -> np.ndarray:
    """What predictors say of rows that they were not fitted on: rows in folds by group, each predicted by the others.

    The folds are the same every time. Where there are fewer groups than folds, rows are divided.
    """
    folds = FEW_FOLDS if len(rows) * max(1, classes) > MANY else FOLDS
    groups, number = np.unique(rows.group, return_inverse=True)
    if len(groups) < folds:
        groups, number = np.arange(len(rows)), np.arange(len(rows))
    fold = folds_of(len(groups), folds)[number]
    found: np.ndarray | None = None
    for one in range(folds):
        here = np.flatnonzero(fold == one)
        if not len(here):
            continue
        said = fit(rows.take(np.flatnonzero(fold != one)))(rows.take(here))
        found = np.empty((len(rows), *said.shape[1:]), np.float32) if found is None else found
        found[here] = said
    assert found is not None
    return found
