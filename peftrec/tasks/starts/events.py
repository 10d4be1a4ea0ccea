"""The start of events: a linear model on how item and user were received so far, and on what the user's history says.

    item     its mean feedback before the row, shrunk to what its text lets expect: ridge regression of the items' means
             on the frozen vectors, so that an item that nobody has met yet has a rate too
    user     the same of the user, shrunk to the mean of all; by how much, the validation rows choose
    share    mean feedback of the history that the task reads
    likeness to what is liked there, to what is not, and to the most alike that is liked: cosines of frozen vectors
    past     what the user's whole past says of the item, with items' rates known (`peftrec.tasks.starts.pasts`)
    others   what the other tables of the history say, where there are several (`peftrec.tasks.starts.others`)

Rates as log-odds where rows are liked or not. Counts grow in the course of time, and beyond the least and the largest
that train rows had nothing is learnt of them: they count as these. All of it is known before a row, so that train rows
need no folds but for what texts let expect, and for which items are received alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.rates import PSEUDO
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.choice import held_out, learn
from peftrec.tasks.priors.pool import folds_of
from peftrec.tasks.priors.stored import FLOATS, number, stored
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Asked, Start, Started, Starting, Tensors
from peftrec.tasks.starts.others import COLUMNS as OTHERS
from peftrec.tasks.starts.others import are_several, of_others
from peftrec.tasks.starts.pasts import Known, fit_known, load_known

MOST_ROWS = 200_000  # that a handful of weights are fitted to
SHRINKS = (2.0, 5.0, 15.0, 50.0)  # rows with the expected feedback that every mean starts from
STRENGTHS = (1.0, 0.1, 0.01)  # C of logistic regression, and as strict a penalty of ridge regression
RATES = ("item", "user", "share", "item_count", "user_count", "met")  # columns, rates first; then
AS_READ = ("liked", "other", "most", "expected", "leaning", "akin", "together")
COUNTS = ("item_count", "user_count", "met", *OTHERS)  # or shares of such
FEW_ROWS = 2000  # of train, of which a few validation rows would choose by chance: then all rows choose, by folds
COLUMN = 2  # rows that each column takes from what is said with certainty
DOUBT = 1.0  # standard errors by which what is fitted more strictly may be worse
LEAST_SPREAD = 0.02  # of columns: where one hardly differs among few rows, a row that does would be everything
LOGISTIC = 4  # the logistic loss bends by a quarter, at most, of what half of the squared one bends by
_LEAST = 1e-3  # the least rate, and the distance of the largest from 1


@dataclass(frozen=True)
class EventStart:
    """See the module.

    binary    whether rows are liked or not
    shrink    of items, and of users
    ends      float32 (2, F): the least and the largest that train rows had of COUNTS; infinitely far of other columns
    weight    float32 (F,) of the columns; bias
    known     what was fitted of items
    """

    binary: bool
    shrink: tuple[float, float]
    ends: np.ndarray
    weight: np.ndarray
    bias: float
    known: Known

    @property
    def name(self) -> str:
        """What it reads."""
        return "rates + past" if self.known.expected is None else "rates + past + likeness"

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-odds, or numbers in label units, float32 (N,)."""
        found, several = np.zeros(0, np.float32), len(self.weight) > len(RATES) + len(AS_READ)
        for block in self.known.blocks(rows):
            said = columns(read(block, self.known, several), self.shrink, self.binary).clip(*self.ends)
            found = np.append(found, (said @ self.weight + self.bias).astype(np.float32))
        return found

    def settings(self) -> dict[str, Any]:
        """Its few numbers."""
        return {"binary": self.binary, "shrink": list(self.shrink), "bias": self.bias}

    def tensors(self) -> dict[str, np.ndarray]:
        """Its weights, and between what counts are."""
        return {"weight": self.weight, "ends": self.ends[:, counted(len(self.weight))], **self.known.tensors()}


Said = dict[str, np.ndarray]  # of each row, float64 (N,)


def read(rows: Examples, known: Known, several: bool) -> Said:
    """What is known of rows (N,) before them; nothing is shrunk yet. `several`: with what the other tables say."""
    assert rows.rates is not None
    base, known = rows.rates.base, known.once()
    item_mean, item_count, user_mean, user_count = rows.inputs()[:, -4:].astype(np.float64).T
    said = {"base": np.full(len(rows), base), **known.said(rows)}
    for name, mean, count in (("item", item_mean, np.expm1(item_count)), ("user", user_mean, np.expm1(user_count))):
        said[f"{name}_sum"], said[f"{name}_count"] = mean * (count + PSEUDO) - PSEUDO * base, count
    past = rows.history()
    present = past.rows >= 0
    said["met"] = present.sum(1).astype(np.float64)
    said["share"] = (past.feedback * present).sum(1) / np.maximum(said["met"], 1)
    if several:
        said |= zip(OTHERS, of_others(rows).T, strict=True)
    liked, cosine = past.feedback > 0, known.likeness(rows, past.rows)
    return said | _likeness(cosine, present, liked)


def _likeness(cosine: np.ndarray, present: np.ndarray, liked: np.ndarray) -> Said:
    """Of cosines (N, H): their mean over what is liked, over what is not, and the largest of the first; 0 without."""
    liked, other = liked & present, present & ~liked
    found = {
        name: (cosine * of).sum(1, dtype=np.float64) / np.maximum(of.sum(1), 1)
        for name, of in (("liked", liked), ("other", other))
    }
    largest = np.where(liked, cosine, -1).max(1, initial=-1).astype(np.float64)
    return {**found, "most": np.where(liked.any(1), largest, 0)}


def counted(width: int) -> np.ndarray:
    """Which of so many columns are those of COUNTS, bool (F,)."""
    return np.isin((*RATES, *AS_READ, *OTHERS)[:width], COUNTS)


def columns(said: Said, shrink: tuple[float, float], binary: bool) -> np.ndarray:
    """What the linear model reads, float64 (N, F)."""
    wanted = said["base"] + said["expected"]
    item = (said["item_sum"] + shrink[0] * wanted) / (said["item_count"] + shrink[0])
    user = (said["user_sum"] + shrink[1] * said["base"]) / (said["user_count"] + shrink[1])
    share = (said["share"] * said["met"] + said["base"]) / (said["met"] + 1)
    rates = [_log_odds(rate) if binary else rate for rate in (item, user, share)]
    counts = [np.log1p(said[name]) for name in ("item_count", "user_count", "met")]
    others = (said[name] for name in OTHERS if name in said)
    return np.stack([*rates, *counts, *(said[name] for name in AS_READ), *others], 1)


def _log_odds(rate: np.ndarray) -> np.ndarray:
    rate = rate.clip(_LEAST, 1 - _LEAST)
    return np.log(rate / (1 - rate))


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Fit what texts let expect, then the linear model; the validation rows choose shrinkage and strength, and of few
    train rows these too, by folds."""
    data = dataset.tasks[task]
    if data.train.rates is None:
        return None
    binary = bool(np.isin(data.train.thinned(MOST_ROWS).label, (0, 1)).all())
    several = are_several(data.train)
    learnt, check = held_out(data)
    twice = learnt is check
    fitted, check = learnt.thinned(MOST_ROWS), check.thinned(MOST_ROWS)
    known = fit_known(learnt, fitted, vectors)
    seen, asked = (_all(rows, known, several) for rows in (fitted, check))

    def tried(shrink: tuple[float, float], strength: float) -> Trial:
        given, other = columns(seen, shrink, binary), columns(asked, shrink, binary)
        found = learnt_from(given, fitted.label, strength, binary)
        losses = [] if twice else [found.losses(other, check.label, binary)]
        if twice or len(fitted) <= FEW_ROWS:
            losses.append(_by_folds(given, fitted.label, strength, binary))
        return Trial(shrink, strength, found, np.concatenate(losses))

    first = [tried((items, users), STRENGTHS[0]) for items, users in product(SHRINKS, SHRINKS)]
    if not len(check) or not all(np.isfinite(one.losses).all() for one in first):
        return None
    least = min(first, key=lambda one: one.losses.mean())
    kept = surely(least, [tried(least.shrink, strength) for strength in STRENGTHS[1:]])
    chosen, model = kept.shrink, kept.model
    if learnt is not data.train:  # the others have chosen, and are learnt from now
        fitted = data.train.thinned(MOST_ROWS)
        known = fit_known(data.train, fitted, vectors)
        seen = _all(fitted, known, several)
        model = learnt_from(columns(seen, chosen, binary), fitted.label, kept.strength, binary)
    model = model.calmed(columns(seen, chosen, binary), fitted.label, binary)
    ends, weight = model.ends.astype(np.float32), model.weight.astype(np.float32)
    return Started(EventStart(binary, chosen, ends, weight, model.bias, known))


@dataclass(frozen=True)
class Linear:
    """Weights float64 (F,) of columns that are cut at `ends` (2, F), and a bias."""

    ends: np.ndarray
    weight: np.ndarray
    bias: float

    def losses(self, known: np.ndarray, label: np.ndarray, binary: bool) -> np.ndarray:
        """Of each row, float64 (N,)."""
        raw = known.clip(*self.ends) @ self.weight + self.bias
        return np.logaddexp(0, raw) - label * raw if binary else (raw - label) ** 2

    def calmed(self, known: np.ndarray, label: np.ndarray, binary: bool) -> "Linear":
        """The same, less sure of other rows than the N that it was fitted to make it: its weights times N / (N + 2 F),
        after Copas (1983), and the bias such that the mean of what is predicted stays that of the labels."""
        if (label == label[0]).all():
            return self
        weight = self.weight * len(label) / (len(label) + COLUMN * known.shape[1])
        raw, mean = known.clip(*self.ends) @ weight, label.mean(dtype=np.float64)
        if not binary:
            return replace(self, weight=weight, bias=float(mean - raw.mean()))
        far = 2 * np.abs(raw).max() + abs(np.log(mean / (1 - mean)))
        return replace(self, weight=weight, bias=float(brentq(lambda bias: expit(raw + bias).mean() - mean, -far, far)))


@dataclass(frozen=True)
class Trial:
    """A way to fit, the model that it gave, and losses of rows (N,) that models fitted so had not seen."""

    shrink: tuple[float, float]
    strength: float
    model: Linear
    losses: np.ndarray


def surely(first: Trial, stricter: list[Trial]) -> Trial:
    """Of a way to fit and others, each stricter than the one before it, the strictest that is not surely worse than the
    best: by no more than a standard error of the difference (Breiman et al. 1984). Few rows tell little, and what is
    fitted freely to few others may be far off."""
    every = [first, *stricter]
    best = min(every, key=lambda one: one.losses.mean())

    def worse(one: Trial) -> bool:
        apart = one.losses - best.losses
        return bool(apart.mean() > DOUBT * apart.std() / np.sqrt(len(apart)))

    return next(one for one in reversed(every) if not worse(one))


def _all(rows: Examples, known: Known, several: bool) -> Said:
    """`read` of many rows."""
    said = [read(block, known, several) for block in known.blocks(rows)]
    return {name: np.concatenate([of[name] for of in said]) for name in said[0]}


def _by_folds(known: np.ndarray, label: np.ndarray, strength: float, binary: bool) -> np.ndarray:
    """The losses (N,) of rows by models that were fitted to the other folds."""
    fold, found = folds_of(len(label)), np.zeros(len(label))
    for one in np.unique(fold):
        here = fold == one
        model = learnt_from(known[~here], label[~here], strength, binary)
        found[here] = model.losses(known[here], label[here], binary)
    return found


def learnt_from(known: np.ndarray, label: np.ndarray, strength: float, binary: bool) -> Linear:
    """Logistic or ridge regression on columns (N, F), which are standardised for it."""
    from sklearn.linear_model import LogisticRegression, Ridge

    centre, spread = known.mean(0), np.maximum(known.std(0), LEAST_SPREAD)
    model = LogisticRegression(C=strength, max_iter=200) if binary else Ridge(alpha=LOGISTIC / strength)
    model = learn(model, (known - centre) / spread, label)
    weight = np.ravel(model.coef_) / spread
    ends = np.where(counted(known.shape[1]), [known.min(0), known.max(0)], [[-np.inf], [np.inf]])
    return Linear(ends, weight, float(np.ravel(model.intercept_)[0] - centre @ weight))


def load(settings: Mapping[str, Any], tensors: Tensors, asked: Asked) -> EventStart:
    """What a run kept."""
    item, user = (number("shrink", of) for of in settings["shrink"])
    binary = settings["binary"]
    if min(item, user) <= 0 or not isinstance(binary, bool):
        raise ValueError("shrink: two numbers above 0, and binary: true or false")
    alone = len(RATES) + len(AS_READ)
    whole = alone + len(OTHERS)
    width = whole if asked.several and tensors["weight"].shape == (whole,) else alone  # that of a run of before, too
    weight, bias = stored(tensors, "weight", FLOATS, width), number("bias", settings["bias"])
    counts, ends = counted(width), np.tile(np.array([[-np.inf], [np.inf]], np.float32), width)
    if "ends" in tensors:  # not in a run of before
        ends[:, counts] = stored(tensors, "ends", FLOATS, 2, int(counts.sum()))
    return EventStart(binary, (item, user), ends, weight, bias, load_known(tensors, asked))


def renumber(start: Start, numbers: np.ndarray) -> Start:
    """The start for a catalogue in which the items have other numbers."""
    assert isinstance(start, EventStart)
    return replace(start, known=start.known.renumbered(numbers))


EVENTS = Starting(fit, load, renumber)
