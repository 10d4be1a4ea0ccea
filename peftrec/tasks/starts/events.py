"""The start of events: a linear model on how item and user were received so far, and on what the user's history says.

    item     its mean feedback before the row, shrunk to what its text lets expect: ridge regression of the items' means
             on the frozen vectors, so that an item that nobody has met yet has a rate too
    user     the same of the user, shrunk to the mean of all; by how much, the validation rows choose
    share    mean feedback of the history that the task reads
    likeness to what is liked there, to what is not, and to the most alike that is liked: cosines of frozen vectors
    past     what the user's whole past says of the item, with items' rates known (`peftrec.tasks.starts.pasts`)

Rates as log-odds where rows are liked or not. All of it is known before a row, so that train rows need no folds but for
what texts let expect, and for which items are received alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.data.neighbours import Neighbours
from peftrec.data.rates import PSEUDO
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.choice import held_out, learn
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Start, Started, Starting, Tensors
from peftrec.tasks.starts.pasts import Alike, akin, fit_received, past_of

MOST_ROWS = 200_000  # that a handful of weights are fitted to
MOST_ITEMS = 20_000  # whose texts tell what may be expected of one
AT_ONCE = 8192  # rows whose columns are made together
MOST_PAIRS = 1 << 24  # cosines between the texts of as many rows, at most; else each row's own are computed
SHRINKS = (2.0, 5.0, 15.0, 50.0)  # rows with the expected feedback that every mean starts from
STRENGTHS = (1.0, 0.1, 0.01)  # C of logistic regression; of ridge regression the penalty is its inverse
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # of the regression of items' means on vectors of length 1
FOLDS = 5
RATES = ("item", "user", "share", "item_count", "user_count", "met")  # columns, rates first; then
AS_READ = ("liked", "other", "most", "expected", "leaning", "akin", "together")
_LEAST = 1e-3  # the least rate, and the distance of the largest from 1


@dataclass(frozen=True)
class Expected:
    """What the text of an item lets expect: its frozen vector, brought to length 1 about the centre, times weights.

    centre, weight  float32 (D,)
    """

    centre: np.ndarray
    weight: np.ndarray

    def worth(self, texts: np.ndarray, vectors: Vectors) -> np.ndarray:
        """By how much an item of each text row (N,) is expected to differ from the base, float64 (N,)."""
        there, place = _distinct(texts)
        return (self.unit(vectors(there)) @ self.weight).astype(np.float64)[place]

    def unit(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, D) about the centre, of length 1."""
        apart = vectors - self.centre
        found: np.ndarray = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-9)
        return found


@dataclass(frozen=True)
class EventStart:
    """See the module.

    binary    whether rows are liked or not
    shrink    of items, and of users
    weight    float32 (F,) of the columns; bias
    alike     which items are received alike
    expected  None where the backbone is trained itself
    """

    binary: bool
    shrink: tuple[float, float]
    weight: np.ndarray
    bias: float
    alike: Alike
    expected: Expected | None
    vectors: Vectors | None = field(repr=False)

    @property
    def name(self) -> str:
        """What it reads."""
        return "rates + past" if self.expected is None else "rates + past + likeness"

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-odds, or numbers in label units, float32 (N,)."""
        found = np.zeros(0, np.float32)
        if self.vectors is not None and len(rows) > AT_ONCE:
            self.vectors(rows.text_rows())  # all at once: what is computed shows its progress
        for block in rows.blocks(AT_ONCE):
            said = columns(read(block, self.alike, self.expected, self.vectors), self.shrink, self.binary)
            found = np.append(found, (said @ self.weight + self.bias).astype(np.float32))
        return found

    def settings(self) -> dict[str, Any]:
        """Its few numbers."""
        return {"binary": self.binary, "shrink": list(self.shrink), "bias": self.bias}

    def tensors(self) -> dict[str, np.ndarray]:
        """Its weights."""
        near = self.alike.whole
        own = {"weight": self.weight, "alike.items": near.items, "alike.weights": near.weights}
        if self.expected is None:
            return own
        return {**own, "expected.centre": self.expected.centre, "expected.weight": self.expected.weight}


Said = dict[str, np.ndarray]  # of each row, float64 (N,)


def read(rows: Examples, alike: Alike, expected: Expected | None, vectors: Vectors | None) -> Said:
    """What is known of rows (N,) before them; nothing is shrunk yet."""
    assert rows.rates is not None
    base = rows.rates.base
    item_mean, item_count, user_mean, user_count = rows.inputs()[:, -4:].astype(np.float64).T
    said = {"base": np.full(len(rows), base), "expected": np.zeros(len(rows))}
    for name, mean, count in (("item", item_mean, np.expm1(item_count)), ("user", user_mean, np.expm1(user_count))):
        said[f"{name}_sum"], said[f"{name}_count"] = mean * (count + PSEUDO) - PSEUDO * base, count
    past = rows.history()
    present = past.rows >= 0
    said["met"] = present.sum(1).astype(np.float64)
    said["share"] = (past.feedback * present).sum(1) / np.maximum(said["met"], 1)
    for name in ("liked", "other", "most", "akin"):
        said[name] = np.zeros(len(rows))
    worth = None if expected is None or vectors is None else partial(expected.worth, vectors=vectors)
    whole = past_of(rows, worth)
    said |= {"leaning": whole.leaning, "together": alike.together(rows, whole)}
    if expected is not None and vectors is not None:
        texts, place = _distinct(np.concatenate([rows.slots["item"], past.rows[present], whole.rows[whole.present]]))
        unit, own = expected.unit(vectors(texts)), place[: len(rows)]
        earlier, met = np.zeros(past.rows.shape, np.int64), np.zeros(whole.rows.shape, np.int64)
        earlier[present], met[whole.present] = np.split(place[len(rows) :], [int(present.sum())])
        said["expected"] = (unit @ expected.weight)[own].astype(np.float64)
        said |= _likeness(_cosines(unit, own, earlier), present, past.feedback > 0)
        said["akin"] = akin(whole, _cosines(unit, own, met))
    return said


def _distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (U,) among many (N,), ascending, and which of them each is (N,). Where they repeat nothing is sorted,
    which would take longer than all else that is done with a row."""
    size = int(numbers.max(initial=-1)) + 1
    if size > len(numbers):
        found, place = np.unique(numbers, return_inverse=True)
        return found, place
    used = np.zeros(size, bool)
    used[numbers] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[numbers]


def _cosines(unit: np.ndarray, own: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Cosines float32 (N, H) of each row's item with those of its history, given as places in `unit` (U, D)."""
    (there, then), (here, now) = _distinct(earlier.ravel()), _distinct(own)
    if len(there) * len(here) <= MOST_PAIRS:
        table = unit[here] @ unit[there].T
        found: np.ndarray = table[now[:, None], then.reshape(earlier.shape)]
        return found
    each = [(unit[own] * unit[earlier[:, column]]).sum(1) for column in range(earlier.shape[1])]
    return np.stack(each, 1)


def _likeness(cosine: np.ndarray, present: np.ndarray, liked: np.ndarray) -> Said:
    """Of cosines (N, H): their mean over what is liked, over what is not, and the largest of the first; 0 without."""
    liked, other = liked & present, present & ~liked
    found = {
        name: (cosine * of).sum(1, dtype=np.float64) / np.maximum(of.sum(1), 1)
        for name, of in (("liked", liked), ("other", other))
    }
    largest = np.where(liked, cosine, -1).max(1, initial=-1).astype(np.float64)
    return {**found, "most": np.where(liked.any(1), largest, 0)}


def columns(said: Said, shrink: tuple[float, float], binary: bool) -> np.ndarray:
    """What the linear model reads, float64 (N, F)."""
    wanted = said["base"] + said["expected"]
    item = (said["item_sum"] + shrink[0] * wanted) / (said["item_count"] + shrink[0])
    user = (said["user_sum"] + shrink[1] * said["base"]) / (said["user_count"] + shrink[1])
    share = (said["share"] * said["met"] + said["base"]) / (said["met"] + 1)
    rates = [_log_odds(rate) if binary else rate for rate in (item, user, share)]
    counts = [np.log1p(said[name]) for name in ("item_count", "user_count", "met")]
    return np.stack([*rates, *counts, *(said[name] for name in AS_READ)], 1)


def _log_odds(rate: np.ndarray) -> np.ndarray:
    rate = rate.clip(_LEAST, 1 - _LEAST)
    return np.log(rate / (1 - rate))


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Fit what texts let expect, then the linear model; the validation rows choose shrinkage and strength."""
    data = dataset.tasks[task]
    if data.train.rates is None:
        return None
    binary = bool(np.isin(data.train.thinned(MOST_ROWS).label, (0, 1)).all())
    fitted, check = (rows.thinned(MOST_ROWS) for rows in held_out(data))
    expected, of_folds = (None, None) if vectors is None else _expected(fitted, vectors)
    alike = fit_received(data.train, _feedback(data.train, data.train.rates.base))
    known, asked = (_all(rows, alike, expected, vectors) for rows in (fitted, check))
    if of_folds is not None:
        known["expected"] = of_folds
    best, weights = np.inf, None
    for shrink in product(SHRINKS, SHRINKS):
        found = _learn(columns(known, shrink, binary), fitted.label, STRENGTHS[0], binary)
        if (loss := _loss(columns(asked, shrink, binary) @ found[0] + found[1], check.label, binary)) < best:
            best, weights, chosen = loss, found, shrink
    for strength in STRENGTHS[1:]:
        found = _learn(columns(known, chosen, binary), fitted.label, strength, binary)
        if (loss := _loss(columns(asked, chosen, binary) @ found[0] + found[1], check.label, binary)) < best:
            best, weights = loss, found
    if weights is None:
        return None
    start = EventStart(binary, chosen, weights[0].astype(np.float32), float(weights[1]), alike, expected, vectors)
    if of_folds is None or len(fitted) < len(data.train):
        return Started(start)
    return Started(start, (columns(known, chosen, binary) @ weights[0] + weights[1]).astype(np.float32))


def _all(rows: Examples, alike: Alike, expected: Expected | None, vectors: Vectors | None) -> Said:
    """`read` of many rows."""
    if vectors is not None:
        vectors(rows.text_rows())
    said = [read(block, alike, expected, vectors) for block in rows.blocks(AT_ONCE)]
    return {name: np.concatenate([of[name] for of in said]) for name in said[0]}


def _expected(train: Examples, vectors: Vectors) -> tuple[Expected, np.ndarray]:
    """What texts let expect, and of each train row (N,) what those of other items let expect of its own."""
    from sklearn.linear_model import Ridge

    base = float(train.label.mean(dtype=np.float64)) if train.rates is None else train.rates.base
    texts, place = np.unique(train.slots["item"], return_inverse=True)
    feedback = _feedback(train, base)
    count = np.bincount(place).astype(np.float64)
    mean = np.bincount(place, feedback - base) / (count + PSEUDO)
    some = np.sort(np.argsort(-count, kind="stable")[:MOST_ITEMS])
    held = vectors(texts)
    centre = held[some].mean(0)
    unit = Expected(centre, np.zeros_like(centre)).unit(held)
    fold = np.random.default_rng(0).permutation(len(texts)) % FOLDS
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
    return Expected(centre.astype(np.float32), whole.coef_.astype(np.float32)), others[best][place]


def _feedback(train: Examples, base: float) -> np.ndarray:
    """The rows' labels on the scale of the log's feedback, whose mean over the train rows is the base."""
    label = train.label.astype(np.float64)
    if np.isin(label, (0, 1)).all():
        return label
    return base + (label - label.mean()) / max(float(label.std()), 1e-9)


def _learn(known: np.ndarray, label: np.ndarray, strength: float, binary: bool) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of logistic or ridge regression on columns, which are standardised for it."""
    from sklearn.linear_model import LogisticRegression, Ridge

    centre, spread = known.mean(0), known.std(0)
    spread = np.where(spread > 1e-9, spread, 1)
    model = LogisticRegression(C=strength, max_iter=200) if binary else Ridge(alpha=1 / strength)
    model = learn(model, (known - centre) / spread, label)
    weight = np.ravel(model.coef_) / spread
    return weight, float(np.ravel(model.intercept_)[0] - centre @ weight)


def _loss(raw: np.ndarray, label: np.ndarray, binary: bool) -> float:
    if binary:
        return float((np.logaddexp(0, raw) - label * raw).mean())
    return float(((raw - label) ** 2).mean())


def load(settings: Mapping[str, Any], tensors: Tensors, texts: TextTable, vectors: Vectors | None) -> EventStart:
    """What a run kept."""
    expected = None
    if "expected.weight" in tensors:
        if vectors is None:
            raise ValueError("it needs the frozen backbone's vectors")
        expected = Expected(tensors["expected.centre"], tensors["expected.weight"])
    item, user = map(float, settings["shrink"])
    if tensors["weight"].shape != (len(RATES) + len(AS_READ),):
        raise ValueError(f"{len(tensors['weight'])} weights of {len(RATES) + len(AS_READ)} columns")
    near = Neighbours(tensors["alike.items"], tensors["alike.weights"])
    if near.items.shape != near.weights.shape or near.items.ndim != 2:
        raise ValueError("its items received alike and their weights are not of one size")
    if near.items.size and not 0 <= near.items.min() <= near.items.max() < len(near.items):
        raise ValueError(f"items received alike have numbers from 0 to {len(near.items) - 1}")
    weight, bias = tensors["weight"], float(settings["bias"])
    return EventStart(bool(settings["binary"]), (item, user), weight, bias, Alike(near), expected, vectors)


def renumber(start: Start, numbers: np.ndarray) -> Start:
    """The start for a catalogue in which the items have other numbers."""
    assert isinstance(start, EventStart)
    return replace(start, alike=start.alike.renumbered(numbers))


EVENTS = Starting(fit, load, renumber)
