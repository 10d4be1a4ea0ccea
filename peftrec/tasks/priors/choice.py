"""How a fitted prior is chosen: by rows that it was not fitted on, which also say how sure it may be."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.special import expit, log_softmax, softmax

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.tasks.priors.cutpoints import fit_cutpoints, middles_of
from peftrec.tasks.priors.several import EachClass, OneClass

HELD_OUT = 0.2  # of the train rows, where there are no validation rows
FEW_ROWS = 2000  # of train, of which a few validation rows would choose by chance: then all rows choose, by folds


@dataclass(frozen=True)
class Tried:
    """One way to predict, tried on rows that it was not fitted on.

    way    what it is, so that it can be fitted again to more rows
    loss   its log-loss, or mean squared error
    scores what it said of them: as `judge` takes them
    sharpness  what its scores are multiplied by before the softmax or sigmoid, so that they are as sure as they may be
    """

    way: Any
    loss: float
    scores: np.ndarray
    sharpness: float = 1.0


Fitted = TypeVar("Fitted")
Scores = Callable[[Examples], np.ndarray]  # rows -> log-scores (N, C), up to one factor, or numbers (N,)


Kept = TypeVar("Kept", bound=Scores, covariant=True)


@dataclass(frozen=True)
class Chosen(Generic[Kept]):
    """A way to predict that the validation rows chose.

    tried   how it did on them, fitted to others
    check   those rows
    fit     fits it to any rows
    whole   the same, fitted to all train rows
    """

    tried: Tried
    check: Examples
    fit: Callable[[Examples], Kept]
    whole: Kept


def once(choose: Callable[..., Fitted]) -> Callable[..., Fitted]:
    """The same function of (dataset, task, ...), which chooses once for a task's rows: priors and starts share it."""

    @wraps(choose)
    def chosen(dataset: Dataset, task: str, *given: Any) -> Fitted:
        fitted = dataset.tasks[task].fitted
        if choose.__name__ not in fitted:
            fitted[choose.__name__] = choose(dataset, task, *given)
        found: Fitted = fitted[choose.__name__]
        return found

    return chosen


def held_out(data: TaskData) -> tuple[Examples, Examples]:
    """Rows to fit to and rows to choose by: train and valid.

    What they were, where all are train rows by now. Where valid is empty, train without a fifth of its groups, the same
    ones every time, and those; where that leaves a single label to learn from, or nothing to choose by, train twice.
    """
    if data.divided is not None and len(data.divided[1]):
        return data.divided
    if len(data.valid):
        return data.train, data.valid
    groups = np.unique(data.train.group)
    kept = np.random.default_rng(0).permutation(groups)[: int(len(groups) * HELD_OUT)]
    away = np.isin(data.train.group, kept)
    if not away.any() or len(np.unique(data.train.label[~away])) < 2:
        return data.train, data.train
    return data.train.take(np.flatnonzero(~away)), data.train.take(np.flatnonzero(away))


def learn(model: Any, features: Any, label: np.ndarray, each: np.ndarray | None = None) -> Any:
    """The scikit-learn model, fitted in silence: one that has not quite converged is judged like any other. `each`
    (N,): how much each row counts.

    For labels (N, C) one such model a class. A classifier of rows of one class, as part of the rows may be where others
    are rare, knows of no other.
    """
    from sklearn.base import ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning

    if label.ndim == 1 and isinstance(model, ClassifierMixin) and (label == label[0]).all():
        return OneClass(label[0], features.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # of rows few and classes many
        if each is not None:
            return model.fit(features, label, each)
        return (EachClass(model) if label.ndim == 2 else model).fit(features, label)


def judge(way: Any, scores: np.ndarray, label: np.ndarray) -> Tried:
    """How well scores fit the labels (N,): log-scores (N, C), minus infinity for classes never seen, or numbers (N,).
    Or the labels (N, C): log-odds (N, C).

    Few rows may all be right, and would make the best sharpness infinite: labels count as smoothed by 1 / (N + 2), as
    Platt (1999) did. Rows of classes never seen do not count.
    """
    if scores.ndim == 1:
        return Tried(way, float(np.mean((scores - label) ** 2)), scores)
    if label.ndim == 2:
        doubt = 1 / (len(label) + 2)
        having = label * (1 - 2 * doubt) + doubt
        return _as_sure_as_may_be(
            way, scores, lambda of: float((np.logaddexp(0, of * scores) - having * of * scores).mean())
        )
    rows = np.flatnonzero(np.isfinite(scores[np.arange(len(label)), label]))
    if not len(rows):
        return Tried(way, np.inf, scores)
    seen = np.isfinite(scores[0])
    of, label, doubt = scores[rows][:, seen], (np.cumsum(seen) - 1)[label[rows]], 1 / (len(rows) + 2)

    def loss(sharpness: float) -> float:
        chances = log_softmax(sharpness * of, axis=1)
        return -float((1 - doubt) * chances[np.arange(len(of)), label].mean() + doubt * chances.mean())

    return _as_sure_as_may_be(way, scores, loss)


def _as_sure_as_may_be(way: Any, scores: np.ndarray, loss: Callable[[float], float]) -> Tried:
    """The way with the sharpness of the least loss."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda log_sharpness: loss(np.exp(log_sharpness)), bounds=(-5.0, 5.0), method="bounded")
    return Tried(way, float(found.fun), scores, float(np.exp(found.x)))


def best(tried: list[Tried]) -> Tried:
    """The one with the least loss; of equals the first."""
    return min(tried, key=lambda one: one.loss)


def predicted(chosen: Chosen[Scores], data: TaskData, rows: Examples) -> np.ndarray:
    """What was fitted to all train rows says: scores (N, C) as probabilities, each its own where rows have several
    labels; numbers (N,) no further out than the train labels, and of labels of few levels medians."""
    scores, train, tried = chosen.whole(rows), data.train, chosen.tried
    if scores.ndim == 1:
        cutpoints = fit_cutpoints(tried.scores, chosen.check.label, middles_of(data))
        scores = scores if cutpoints is None else cutpoints(scores)
        return np.clip(scores, float(train.label.min()), float(train.label.max()))
    sharp = tried.sharpness * scores
    chances: np.ndarray = expit(sharp) if train.label.ndim == 2 else softmax(sharp, axis=1)
    return chances


def strictest(losses: Sequence[np.ndarray], doubt: float = 1.0) -> int:
    """Which of several ways to fit, from the strictest to the freest, to take by what each lost (N,) on rows that it
    was not fitted to: the first that is not surely worse than the best, by so many standard errors of the difference
    (Breiman et al. 1984: one). Few rows tell little, and what is fitted freely to few others may be far off."""
    best = min(losses, key=lambda one: float(one.mean()))
    return next(place for place, one in enumerate(losses) if not surely_worse(one, best, doubt))


def surely_worse(one: np.ndarray, best: np.ndarray, doubt: float) -> bool:
    """Whether what one way lost (N,) is more than what another did, by so many standard errors of the difference."""
    apart = one - best
    return bool(apart.mean() > doubt * apart.std() / np.sqrt(len(apart)))


def spread(scores: np.ndarray, known: np.ndarray, classes: int) -> np.ndarray:
    """Scores (N, K) of the classes `known` (K,) as scores of all (N, C): minus infinity for the others.

    Scores (N,) are those of the second of two.
    """
    scores = np.stack([-scores, scores], 1) / 2 if scores.ndim == 1 else scores
    full = np.full((len(scores), classes), -np.inf)
    full[:, known] = scores
    return full
