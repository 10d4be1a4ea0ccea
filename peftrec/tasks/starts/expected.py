"""What the text of an item lets expect of how it is received: ridge regression of items' means on frozen vectors."""

from dataclasses import dataclass

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.rates import PSEUDO
from peftrec.data.unit import of_length_one
from peftrec.tasks.priors.pool import folds_of
from peftrec.tasks.priors.vectors import Vectors

MOST_ITEMS = 20_000  # whose texts tell what may be expected of one
MOST_PAIRS = 1 << 24  # cosines between the texts of as many rows, at most; else each row's own are computed
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # of the regression of items' means on vectors of length 1
FOLDS = 5


@dataclass(frozen=True)
class Expected:
    """The frozen vector of an item's text, brought to length 1 about the centre, times weights.

    centre, weight  float32 (D,)
    others  float64 (T,): by text row, what the texts of other items than the row's own let expect of it; NaN of texts
            that nothing was fitted to. Train rows are told that; None where a run was loaded
    """

    centre: np.ndarray
    weight: np.ndarray
    others: np.ndarray | None = None

    def unit(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, D) about the centre, of length 1."""
        return of_length_one(vectors - self.centre)

    def of_texts(self, texts: np.ndarray, unit: Vectors) -> np.ndarray:
        """By how much an item of each text row (N,) is expected to differ from the base, float64 (N,). `unit`: text
        rows -> what `unit` makes of their vectors."""
        there, place = distinct(texts)
        return (unit(there) @ self.weight).astype(np.float64)[place]

    def of_items(self, rows: Examples, unit: Vectors) -> np.ndarray:
        """The same of each row's own item, float64 (N,)."""
        texts = rows.slots["item"]
        found = self.of_texts(texts, unit)
        if self.others is None or rows.fold is None:
            return found
        told = np.append(self.others, np.nan)[np.minimum(texts, len(self.others))]
        return np.where((rows.fold >= 0) & ~np.isnan(told), told, found)


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (U,) among many (N,), ascending, and which of them each is (N,). Where they repeat nothing is sorted,
    which would take longer than all else that is done with a row."""
    least = int(numbers.min()) if len(numbers) else 0
    size = int(numbers.max(initial=least - 1)) + 1 - least
    if size > len(numbers):
        found, place = np.unique(numbers, return_inverse=True)
        return found, place
    used = np.zeros(size, bool)
    used[numbers - least] = True
    return np.flatnonzero(used) + least, (np.cumsum(used) - 1)[numbers - least]


def cosines(unit: np.ndarray, own: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Cosines float32 (N, H) of each row's item with those of its history, given as places in `unit` (U, D)."""
    (there, then), (here, now) = distinct(earlier.ravel()), distinct(own)
    if len(there) * len(here) <= MOST_PAIRS:
        table = unit[here] @ unit[there].T
        found: np.ndarray = table[now[:, None], then.reshape(earlier.shape)]
        return found
    each = [(unit[own] * unit[earlier[:, column]]).sum(1) for column in range(earlier.shape[1])]
    return np.stack(each, 1)


def likeness(rows: Examples, past: np.ndarray, unit: Vectors) -> np.ndarray:
    """Cosines (N, H) of each row's item with the text rows of its past, 0 where these are -1. `unit`: text rows ->
    vectors of length 1."""
    present = past >= 0
    texts, place = distinct(np.append(rows.slots["item"], past[present]))
    earlier = np.zeros(past.shape, np.int64)
    earlier[present] = place[len(rows) :]
    return np.where(present, cosines(unit(texts), place[: len(rows)], earlier), 0)


def fit_expected(train: Examples, feedback: np.ndarray, vectors: Vectors) -> Expected:
    """From the feedback of the train rows (N,)."""
    from sklearn.linear_model import Ridge

    base = float(feedback.mean()) if train.rates is None else train.rates.base
    texts, place = np.unique(train.slots["item"], return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    mean = np.bincount(place, feedback - base) / (count + PSEUDO)
    some = np.sort(np.argsort(-count, kind="stable")[:MOST_ITEMS])
    held = vectors(texts)
    centre = held[some].mean(0)
    unit = Expected(centre, np.zeros_like(centre)).unit(held)
    fold = folds_of(len(texts), FOLDS)
    weight, others = count[some] / (count[some] + PSEUDO), {}
    for penalty in PENALTIES:
        others[penalty] = np.zeros(len(texts))
        for one in range(FOLDS):
            rest = fold[some] != one
            if rest.any():
                model = Ridge(alpha=penalty, fit_intercept=False).fit(unit[some[rest]], mean[some[rest]], weight[rest])
                others[penalty][fold == one] = unit[fold == one] @ model.coef_
    best = min(PENALTIES, key=lambda of: float((weight * (others[of][some] - mean[some]) ** 2).sum()))
    whole = Ridge(alpha=best, fit_intercept=False).fit(unit[some], mean[some], weight)
    told = np.full(int(texts.max(initial=-1)) + 1, np.nan)
    told[texts] = others[best]
    return Expected(centre.astype(np.float32), whole.coef_.astype(np.float32), told)
