"""Gradient-boosted trees on what is known of an event before it happens: rates, gaps, its user's past, features."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.scales import from_log, pulled
from peftrec.errors import UserError
from peftrec.tasks.columns import HISTORY, columns
from peftrec.tasks.losses import Loss
from peftrec.tasks.priors.choice import FEW_ROWS, Chosen, Scores, Tried, held_out, once, strictest, surely_worse
from peftrec.tasks.priors.pool import folds_of

if TYPE_CHECKING:  # scikit-learn takes 90 MB and a second
    from sklearn.ensemble import GradientBoostingRegressor

# A second a fit, some with all folds: on five tasks of four data sets, 20,000 rows and 150 trees were better by a
# hundredth of the error at most.
ROWS = 5000
Read = Callable[[Examples], np.ndarray]  # rows -> columns float32 (N, F), those of `columns` first


@dataclass(frozen=True)
class Told:
    """Columns of which the last is what something else that was fitted says: a base by itself.

    read    rows -> columns
    learnt  the same of rows that the other was fitted to, told by such as were not
    """

    read: Read
    learnt: Read


DOUBT = 2.0  # standard errors, of few rows: of two dozen ways the best is better than the others by chance
LEAST_ROWS = 10  # that trees are fitted to
TRIED = (0, 5, 10, 20, 40, 60)  # numbers of trees; none: the base alone


@dataclass(frozen=True)
class Trees:
    """Regression trees as arrays: T trees of at most M nodes, of which the first is the root.

    feature    int32 (T, M): the column that a node asks for; -1 of a leaf
    threshold  float64 (T, M): rows go left where the column is at most this
    left, right  int32 (T, M): the nodes that follow, which come after it
    value      float64 (T, M): what a leaf adds
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.feature)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The sum of what the trees say of columns float32 (N, F), float64 (N,)."""
        total, rows = np.zeros(len(values)), np.arange(len(values))
        for tree in range(len(self)):
            node = np.zeros(len(values), np.int64)
            while (inner := self.feature[tree, node] >= 0).any():
                left = values[rows, self.feature[tree, node].clip(0)] <= self.threshold[tree, node]
                node = np.where(inner, np.where(left, self.left[tree, node], self.right[tree, node]), node)
            total += self.value[tree, node]
        return total


NO_TREES = Trees(*(np.zeros((0, 1), kind) for kind in (np.int32, np.float64, np.int32, np.int32, np.float64)))


@dataclass(frozen=True)
class Base:
    """What trees are added to: one number, the median of the user's own recent past, or a linear function.

    constant  the number; also that of users of whom nothing is known, and the linear function's intercept
    own       the columns of the median, and of how many it is of; None: it is none
    centre, spread  by which the median's column was standardised
    weight    of every column; none: it is no linear function
    """

    constant: float
    own: tuple[int, int] | None = None
    centre: float = 0.0
    spread: float = 1.0
    weight: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Which it is."""
        return "linear" if self.weight else "constant" if self.own is None else "recent_median"

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Of columns (N, F), float64 (N,)."""
        if self.weight:
            return values.astype(np.float64) @ np.array(self.weight) + self.constant
        if self.own is None:
            return np.full(len(values), self.constant)
        median, count = (values[:, column].astype(np.float64) for column in self.own)
        return np.where(count > 0, median * self.spread + self.centre, self.constant)


@dataclass(frozen=True)
class Part:
    """A base and the trees that are added to it."""

    base: Base
    trees: Trees

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Of columns float32 (N, F), float64 (N,)."""
        found: np.ndarray = self.base(values) + self.trees(values)
        return found


@dataclass(frozen=True)
class Boosted:
    """The mean of several bases, each with its trees.

    width      how many columns they read
    low, high  the range of the train labels, beyond which nothing is predicted
    read       rows -> the columns, float32 (N, F)
    """

    parts: tuple[Part, ...]
    width: int
    low: float
    high: float
    read: Read = columns

    @property
    def name(self) -> str:
        """What it amounts to."""
        names = dict.fromkeys(of.base.name for of in self.parts)
        return "boosted" if any(len(of.trees) for of in self.parts) else " + ".join(names)

    def __call__(self, rows: Examples) -> np.ndarray:
        """A number of each row, float64 (N,)."""
        values = self.read(rows)
        if values.shape[1] != self.width:
            raise UserError(f"the trees read {self.width} columns, and these rows have {values.shape[1]}")
        found: np.ndarray = np.mean([part(values).clip(self.low, self.high) for part in self.parts], 0)
        return found


def boosted(dataset: Dataset, task: str, examples: Examples, loss: Loss | None = None) -> np.ndarray:
    """Gradient-boosted trees, fitted to at most 5,000 train rows.

    They are added to a constant, to a user's recent median and to a linear function, and the mean of these is taken;
    how many trees each has, and which are left out, the validation rows choose. Of what changes in the course of time a
    linear function says more than trees, which end where the rows did.
    """
    return choose_boosted(dataset, task, loss).whole(examples)


@once
def choose_boosted(dataset: Dataset, task: str, loss: Loss | None) -> Chosen[Scores]:
    """See `choose`."""
    return choose(dataset, task, loss)


def choose(
    dataset: Dataset, task: str, loss: Loss | None, first: Told | None = None, whole: Told | None = None
) -> Chosen[Scores]:
    """The mean of several bases, each with as many trees as are best by the error in units of the labels: squared for a
    loss that is so, else absolute. Bases that are surely worse than the best are left out: of what changes in the
    course of time validation rows rank the ways otherwise than later rows do. Of few train rows these choose too, by
    folds, each base has the fewest trees that are not surely worse, and a constant that is not is enough.

    first, whole  the columns, those of `columns` by default: where others check, and where all train rows are learnt
    """
    data, squared = dataset.tasks[task], loss is not None and loss.power == 2
    train, check = held_out(data)
    twice = train is check
    train, check = train.thinned(ROWS), check.thinned(ROWS)
    seen, asked = (first.learnt(train), first.read(check)) if first else (columns(train), columns(check))
    bases, few = _bases(data, squared, first is not None), (twice or len(train) <= FEW_ROWS) and len(train) > 1

    def tries(rows: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
        """What every way, fitted to these of `train`, predicts of others by their columns (M, F), each (M,)."""
        own, found = train.take(rows), []
        low, high = float(own.label.min()), float(own.label.max())
        for make in bases:
            base = make(own, seen[rows])
            staged: Iterable[Any] = (0.0,) * TRIED[-1]
            if len(rows) >= LEAST_ROWS:
                staged = _fitted(own, seen[rows], base, squared, TRIED[-1]).staged_predict(known)
            found += [np.clip(base(known) + more, low, high) for n, more in enumerate((0, *staged)) if n in TRIED]
        return found

    def errors(said: np.ndarray, label: np.ndarray) -> np.ndarray:
        found, label = (from_log(of) if data.log_scale else of for of in (said, label))
        apart: np.ndarray = pulled(found, data.levels) - label
        return apart**2 if squared else np.abs(apart)

    ways = list(product(bases, TRIED))
    on_check = tries(np.arange(len(train)), asked)
    lost = [[] if twice and few else [errors(said, check.label)] for said in on_check]
    if few:
        fold = folds_of(len(train))
        for one in np.unique(fold):
            here = np.flatnonzero(fold == one)
            for own, said in zip(lost, tries(np.flatnonzero(fold != one), seen[here]), strict=True):
                own.append(errors(said, train.label[here]))
    losses = [np.concatenate(of) for of in lost]
    each = [range(first, first + len(TRIED)) for first in range(0, len(ways), len(TRIED))]
    best = min(losses, key=lambda of: float(of.mean()))
    taken = [_taken(losses, places, few) for places in each]
    taken = [place for place in taken if not surely_worse(losses[place], best, DOUBT)]
    if few and not surely_worse(losses[0], best, DOUBT):
        taken = [0]  # the constant: nothing tells more

    def fit(rows: Examples) -> Boosted:
        rows = rows.thinned(ROWS)
        values = whole.learnt(rows) if whole else columns(rows)
        parts = []
        for make, count in (ways[place] for place in taken):
            base = make(rows, values)
            trees = _arrays(_fitted(rows, values, base, squared, count), count) if count else NO_TREES
            parts.append(Part(base, trees))
        low, high = float(rows.label.min()), float(rows.label.max())
        return Boosted(tuple(parts), values.shape[1], low, high, whole.read if whole else columns)

    mean: np.ndarray = np.mean([on_check[place] for place in taken], 0)
    tried = Tried([ways[place] for place in taken], float(errors(mean, check.label).mean()), mean)
    return Chosen(tried, check, fit, fit(data.train))


def _taken(losses: list[np.ndarray], places: range, few: bool) -> int:
    """Of one base's ways, from the fewest trees on, the one to take."""
    return places[strictest([losses[of] for of in places], DOUBT if few else 0.0)]


def _middle(label: np.ndarray, squared: bool) -> float:
    label = np.asarray(label, np.float64)
    return float(label.mean() if squared else np.median(label))


def _bases(data: TaskData, squared: bool, told: bool) -> list[Callable[[Examples, np.ndarray], Base]]:
    """(rows, their columns) -> a constant; the user's own median where there are histories; what is `told`, in the
    last one; a linear function."""

    def constant(rows: Examples, values: np.ndarray) -> Base:
        return Base(_middle(rows.label, squared))

    def own(rows: Examples, values: np.ndarray) -> Base:
        if "gap_median" in data.feature_names:  # of moments; histories are of events
            place = len(HISTORY) + data.feature_names.index("gap_median")
            return Base(_middle(rows.label, squared), (place, place + 1))
        centre, spread = map(float, data.scale)
        return Base(_middle(rows.label, squared), (HISTORY.index("median"), HISTORY.index("count")), centre, spread)

    def as_told(rows: Examples, values: np.ndarray) -> Base:
        return Base(0.0, weight=(*[0.0] * (values.shape[1] - 1), 1.0))

    past = [] if data.train.log is None else [own]
    return [constant, *past, *([as_told] if told else []), _linear]


def _linear(rows: Examples, values: np.ndarray) -> Base:
    """By least squares, each column in its own spread."""
    values, label = values.astype(np.float64), np.asarray(rows.label, np.float64)
    centre, spread = values.mean(0), values.std(0)
    spread = np.where(spread > 1e-9 * (1 + np.abs(centre)), spread, np.inf)  # those that are alike say nothing
    each = np.ones(len(rows)) if rows.weight is None else np.sqrt(np.asarray(rows.weight, np.float64))
    found = np.linalg.lstsq((values - centre) / spread * each[:, None], (label - label.mean()) * each, rcond=1e-6)[0]
    weight = found / spread
    return Base(float(label.mean() - weight @ centre), weight=tuple(weight.tolist()))


def _fitted(rows: Examples, values: np.ndarray, base: Base, squared: bool, count: int) -> "GradientBoostingRegressor":
    """Fitted to what the base leaves of the labels; the first trees are the same, however many follow."""
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        loss="squared_error" if squared else "absolute_error",
        init="zero",
        n_estimators=count,
        max_depth=4,
        min_samples_leaf=min(20, max(1, len(rows) // 10)),
        subsample=0.5,
        max_features=0.5,
        random_state=0,
    )
    left = np.asarray(rows.label, np.float64) - base(values)
    return model.fit(values, left, None if rows.weight is None else np.asarray(rows.weight, np.float64))


def _arrays(model: "GradientBoostingRegressor", count: int) -> Trees:
    """The first trees of a fitted model."""
    trees = [of.tree_ for of in islice(model.estimators_[:, 0], count)]
    nodes = max((of.node_count for of in trees), default=1)

    def stacked(name: str, kind: type, empty: float) -> np.ndarray:
        found = np.full((len(trees), nodes), empty, kind)
        for row, tree in zip(found, trees, strict=True):
            row[: tree.node_count] = getattr(tree, name).reshape(-1)
        return found

    feature = stacked("feature", np.int32, -1).clip(-1)
    left, right = (stacked(name, np.int32, 0).clip(0) for name in ("children_left", "children_right"))
    value = stacked("value", np.float64, 0) * model.learning_rate
    return Trees(feature, stacked("threshold", np.float64, 0), left, right, value)
