"""The start of events: a linear model on how item and user were received so far, and on what the user's history says.

    item     its mean feedback before the row, shrunk to what its text lets expect: ridge regression of the items' means
             on the frozen vectors, so that an item that nobody has met yet has a rate too
    user     the same of the user, shrunk to the mean of all; by how much, the validation rows choose
    share    mean feedback of what the history that the task reads has of the task's own table
    likeness to what is liked there, to what is not, and to the most alike that is liked: cosines of frozen vectors;
             what stands in other tables without a word counts as liked
    past     what the user's whole past says of the item, with items' rates known (`peftrec.tasks.starts.pasts`)
    others   what the other tables of the history say, where there are several (`peftrec.tasks.starts.others`)

Rates as log-odds where rows are liked or not. Beyond what train rows had nothing is learnt: counts, which grow in the
course of time, are cut at the least and the largest of these, and all else three standard deviations further. All of
it is known before a row, so that train rows need no folds but for what texts let expect, and for which items are
received alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.rates import PSEUDO
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.choice import FEW_ROWS, held_out, learn, strictest
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
COLUMN = 2  # rows that each column takes from what is said with certainty
FURTHER = 3  # standard deviations beyond what train rows had
LEAST_SPREAD = 0.02  # of columns: where one hardly differs among few rows, a row that does would be everything
LOGISTIC = 4  # the logistic loss bends by a quarter, at most, of what half of the squared one bends by
_LEAST = 1e-3  # the least rate, and the distance of the largest from 1


@dataclass(frozen=True)
class EventStart:
    """See the module.

    binary    whether rows are liked or not
    shrink    of items, and of users
    ends      float32 (2, F): between what columns are cut; infinitely far where a run of before cut none
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

    @property
    def several(self) -> bool:
        """Whether it reads what the other tables say."""
        return len(self.weight) > len(RATES) + len(AS_READ)

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-odds, or numbers in label units, float32 (N,)."""
        found = np.zeros(0, np.float32)
        for block in self.known.blocks(rows):
            said = columns(read(block, self.known, self.several), self.shrink, self.binary).clip(*self.ends)
            found = np.append(found, (said @ self.weight + self.bias).astype(np.float32))
        return found

    def settings(self) -> dict[str, Any]:
        """Its few numbers."""
        return {"binary": self.binary, "shrink": list(self.shrink), "bias": self.bias}

    def tensors(self) -> dict[str, np.ndarray]:
        """Its weights, between what columns are, and what was fitted of items."""
        return {**self.linear(), **self.known.tensors()}

    def linear(self) -> dict[str, np.ndarray]:
        """The first two of these."""
        return {"weight": self.weight, "ends": self.ends}


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
    present, told = past.rows >= 0, rows.told(past)
    said["met"] = told.sum(1).astype(np.float64)
    said["share"] = (past.feedback * told).sum(1) / np.maximum(said["met"], 1)
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


@dataclass(frozen=True)
class Fitted:
    """What the validation rows chose.

    strength  of STRENGTHS
    first     fitted to the rows that others checked
    whole     fitted to all train rows; the same object where these are they
    """

    strength: float
    first: EventStart
    whole: EventStart

    def apart(self, start: EventStart, rows: Examples) -> np.ndarray:
        """Of rows that one of the two has learnt from, what such as were fitted to other folds say, float64 (N,)."""
        given = columns(_all(rows, start.known, start.several), start.shrink, start.binary)
        return _by_folds(given, Target.of(rows, start.binary), self.strength)


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Fit what texts let expect, then the linear model."""
    data = dataset.tasks[task]
    if data.train.rates is None:
        return None
    binary = bool(np.isin(data.train.thinned(MOST_ROWS).label, (0, 1)).all())
    found = fit_events(data, vectors, binary)
    return None if found is None else Started(found.whole)


def fit_events(data: TaskData, vectors: Vectors | None, binary: bool) -> Fitted | None:
    """The linear model of rows whose items have rates; the validation rows choose shrinkage and strength, and of few
    train rows these too, by folds. None where nothing finite is found."""
    several = are_several(data.train)
    learnt, check = held_out(data)
    twice = learnt is check
    fitted, check = learnt.thinned(MOST_ROWS), check.thinned(MOST_ROWS)
    known, target, wanted = fit_known(learnt, fitted, vectors), Target.of(fitted, binary), Target.of(check, binary)
    seen, asked = (_all(rows, known, several) for rows in (fitted, check))

    def tried(shrink: tuple[float, float], strength: float) -> Trial:
        given, other = columns(seen, shrink, binary), columns(asked, shrink, binary)
        found = learnt_from(given, target, strength)
        losses = [] if twice else [wanted.losses(found(other))]
        if twice or len(fitted) <= FEW_ROWS:
            losses.append(target.losses(_by_folds(given, target, strength)))
        return Trial(shrink, strength, found, np.concatenate(losses))

    first = [tried((items, users), STRENGTHS[0]) for items, users in product(SHRINKS, SHRINKS)]
    if not len(check) or not all(np.isfinite(one.losses).all() for one in first):
        return None
    least = min(first, key=lambda one: one.losses.mean())
    ways = [*(tried(least.shrink, strength) for strength in STRENGTHS[:0:-1]), least]
    kept = ways[strictest([one.losses for one in ways])]

    def start(model: Linear, seen: Said, rows: Examples, known: Known) -> EventStart:
        # They were chosen as sure as they were.
        calm = model.calmed(columns(seen, kept.shrink, binary), Target.of(rows, binary))
        ends, weight = calm.ends.astype(np.float32), calm.weight.astype(np.float32)
        return EventStart(binary, kept.shrink, ends, weight, calm.bias, known)

    begun = start(kept.model, seen, fitted, known)
    if learnt is data.train:
        return Fitted(kept.strength, begun, begun)
    every = data.train.thinned(MOST_ROWS)  # the others have chosen, and are learnt from now
    known = fit_known(data.train, every, vectors)
    seen = _all(every, known, several)
    model = learnt_from(columns(seen, kept.shrink, binary), Target.of(every, binary), kept.strength)
    return Fitted(kept.strength, begun, start(model, seen, every, known))


@dataclass(frozen=True)
class Target:
    """What is to be predicted of N rows.

    label   float (N,): numbers, or where they are `binary` 0 and 1
    each    float64 (N,): how much each counts in fitting; None: all alike
    """

    label: np.ndarray
    each: np.ndarray | None
    binary: bool

    @classmethod
    def of(cls, rows: Examples, binary: bool) -> "Target":
        """The rows'; how likely a like is is asked of all alike."""
        each = None if binary or rows.weight is None else np.asarray(rows.weight, np.float64)
        return cls(rows.label, each, binary)

    def take(self, rows: np.ndarray) -> "Target":
        """Some of them."""
        return replace(self, label=self.label[rows], each=None if self.each is None else self.each[rows])

    def losses(self, raw: np.ndarray) -> np.ndarray:
        """Of each row, when so much is said of it, float64 (N,)."""
        return np.logaddexp(0, raw) - self.label * raw if self.binary else (raw - self.label) ** 2


@dataclass(frozen=True)
class Linear:
    """Weights float64 (F,) of columns that are cut at `ends` (2, F), and a bias."""

    ends: np.ndarray
    weight: np.ndarray
    bias: float

    def __call__(self, known: np.ndarray) -> np.ndarray:
        """Log-odds or numbers of columns (N, F), float64 (N,)."""
        found: np.ndarray = known.clip(*self.ends) @ self.weight + self.bias
        return found

    def calmed(self, known: np.ndarray, target: Target) -> "Linear":
        """The same, less sure of other rows than the N that it was fitted to make it: its weights times N / (N + 2 F),
        after Copas (1983), and the bias such that the mean of what is predicted stays that of the labels."""
        label, each = target.label, target.each
        if (label == label[0]).all():
            return self
        weight = self.weight * len(label) / (len(label) + COLUMN * known.shape[1])
        raw, mean = known.clip(*self.ends) @ weight, np.average(label, weights=each)
        if not target.binary:
            return replace(self, weight=weight, bias=float(mean - np.average(raw, weights=each)))
        far = 2 * np.abs(raw).max() + abs(np.log(mean / (1 - mean)))
        bias = brentq(lambda bias: np.average(expit(raw + bias), weights=each) - mean, -far, far)
        return replace(self, weight=weight, bias=float(bias))


@dataclass(frozen=True)
class Trial:
    """A way to fit, the model that it gave, and losses of rows (N,) that models fitted so had not seen."""

    shrink: tuple[float, float]
    strength: float
    model: Linear
    losses: np.ndarray


def _all(rows: Examples, known: Known, several: bool) -> Said:
    """`read` of many rows."""
    said = [read(block, known, several) for block in known.blocks(rows)]
    return {name: np.concatenate([of[name] for of in said]) for name in said[0]}


def _by_folds(known: np.ndarray, target: Target, strength: float) -> np.ndarray:
    """Of rows (N,) what is said by models that were fitted to the other folds, float64."""
    fold, found = folds_of(len(known)), np.full(len(known), target.label.mean(dtype=np.float64))
    for one in np.unique(fold) if len(known) > 1 else ():  # a single row has no others
        here = fold == one
        found[here] = learnt_from(known[~here], target.take(~here), strength)(known[here])
    return found


def learnt_from(known: np.ndarray, target: Target, strength: float) -> Linear:
    """Logistic or ridge regression on columns (N, F), which are standardised for it."""
    from sklearn.linear_model import LogisticRegression, Ridge

    centre, spread = known.mean(0), np.maximum(known.std(0), LEAST_SPREAD)
    model = LogisticRegression(C=strength, max_iter=200) if target.binary else Ridge(alpha=LOGISTIC / strength)
    model = learn(model, (known - centre) / spread, target.label, target.each)
    weight = np.ravel(model.coef_) / spread
    further = np.where(counted(known.shape[1]), 0, FURTHER * spread)
    ends = np.array([known.min(0) - further, known.max(0) + further])
    return Linear(ends, weight, float(np.ravel(model.intercept_)[0] - centre @ weight))


def load(settings: Mapping[str, Any], tensors: Tensors, asked: Asked) -> EventStart:
    """What a run kept."""
    return load_linear(settings, tensors, asked, load_known(tensors, asked))


def load_linear(settings: Mapping[str, Any], tensors: Tensors, asked: Asked, known: Known) -> EventStart:
    """The same, of what is known of items already."""
    item, user = (number("shrink", of) for of in settings["shrink"])
    binary = settings["binary"]
    if min(item, user) <= 0 or not isinstance(binary, bool):
        raise ValueError("shrink: two numbers above 0, and binary: true or false")
    alone = len(RATES) + len(AS_READ)
    whole = alone + len(OTHERS)
    width = whole if asked.several and tensors["weight"].shape == (whole,) else alone  # that of a run of before, too
    weight, bias = stored(tensors, "weight", FLOATS, width), number("bias", settings["bias"])
    ends, cut = np.tile(np.array([[-np.inf], [np.inf]], np.float32), width), np.ones(width, bool)
    if "ends" in tensors:  # not in a run of before, or of counts alone
        cut = cut if tensors["ends"].shape == ends.shape else counted(width)
        ends[:, cut] = stored(tensors, "ends", FLOATS, 2, int(cut.sum()))
    return EventStart(binary, (item, user), ends, weight, bias, known)


def renumber(start: Start, numbers: np.ndarray) -> Start:
    """The start for a catalogue in which the items have other numbers."""
    assert isinstance(start, EventStart)
    return replace(start, known=start.known.renumbered(numbers))


EVENTS = Starting(fit, load, renumber)
