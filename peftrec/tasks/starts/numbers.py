"""The start of numbers of events: gradient-boosted trees, and what they are added to.

Where items have rates, two columns more than the prior `boosted` reads: the item's rate, shrunk to what its text lets
expect, and what the user's whole past says of the item (`peftrec.tasks.starts.pasts`); and what the linear model of
likes, fitted to numbers, says of the row (`peftrec.tasks.starts.events`), which trees may be added to.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.rates import PSEUDO
from peftrec.recipe import TaskConfig
from peftrec.tasks.columns import columns
from peftrec.tasks.losses import LOSSES
from peftrec.tasks.priors.boosted import ROWS, Base, Boosted, Part, Told, Trees, choose, choose_boosted
from peftrec.tasks.priors.pool import out_of_fold
from peftrec.tasks.priors.stored import FLOATS, WHOLE, number, stored
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Asked, Start, Started, Starting, Tensors
from peftrec.tasks.starts.events import EventStart, Fitted, fit_events, load_linear
from peftrec.tasks.starts.others import COLUMNS as OTHERS
from peftrec.tasks.starts.others import are_several, of_others
from peftrec.tasks.starts.pasts import Known, load_known

SEEN = 10  # times the rows that are fitted to: of so many rows few were seen


@dataclass(frozen=True)
class Foreseen:
    """The columns of trees that are told of pasts too, where there are `several` tables of what the others say, and
    last of what the `linear` model says, where there is one."""

    known: Known
    several: bool
    linear: EventStart | None

    def __call__(self, rows: Examples) -> np.ndarray:
        """Float32 (N, F)."""
        if self.linear is None:
            return self.beside(rows)
        return np.column_stack([self.beside(rows), self.linear(rows)]).astype(np.float32)

    def beside(self, rows: Examples) -> np.ndarray:
        """Those before the last one, float32 (N, F - 1)."""
        told = [self._of(block) for block in self.known.blocks(rows)]
        found = [columns(rows), np.concatenate(told) if told else np.zeros(0)]
        found += [of_others(rows)] if self.several else []
        return np.column_stack(found).astype(np.float32)

    def _of(self, rows: Examples) -> np.ndarray:
        said = self.known.once().said(rows)
        mean, count = rows.inputs()[:, -4:-2].astype(np.float64).T
        rate = mean + said["expected"] * PSEUDO / (np.expm1(count) + PSEUDO)
        found: np.ndarray = rate + said["leaning"] + said["akin"] + said["together"]
        return found


@dataclass(frozen=True)
class NumberStart:
    """What the validation rows chose; `told` is None where items have no rates."""

    model: Boosted
    told: Foreseen | None = None

    @property
    def name(self) -> str:
        """As `Boosted` has it, and what it is told beside."""
        told = self.told is not None and any(len(of.trees) or of.base.weight for of in self.model.parts)
        return f"{self.model.name} + past" if told else self.model.name

    def __call__(self, rows: Examples) -> np.ndarray:
        """Numbers float32 (N,)."""
        return self.model(rows).astype(np.float32)

    def settings(self) -> dict[str, Any]:
        """The bases, how many columns there are, what is predicted at least and at most, and the linear model's."""
        linear = None if self.told is None else self.told.linear
        return {
            "bases": [asdict(of.base) for of in self.model.parts],
            "columns": self.model.width,
            "range": [self.model.low, self.model.high],
            **({} if linear is None else {"linear": linear.settings()}),
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """The trees of each base under its place, the linear model, and what was fitted of items."""
        own: dict[str, np.ndarray] = {}
        if self.told is not None:
            linear = {} if self.told.linear is None else self.told.linear.linear()
            own = self.told.known.tensors() | {f"linear.{name}": of for name, of in linear.items()}
        for place, part in enumerate(self.model.parts):
            own |= {f"{place}.{of.name}": getattr(part.trees, of.name) for of in fields(Trees)}
        return own


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Choose it, and predict the train rows by folds where it saw many of them.

    None for a loss of one's own, which may ask for a quantile: medians and means are no start for that.
    """
    if config.loss not in LOSSES:
        return None
    data, loss, foreseen = dataset.tasks[task], LOSSES[config.loss], None
    train = data.train
    fitted = None if train.rates is None else fit_events(data, vectors, binary=False)
    if fitted is None:
        chosen = choose_boosted(dataset, task, loss)
    else:
        several = are_several(train)
        first, foreseen = (Foreseen(of.known, several, of) for of in (fitted.first, fitted.whole))
        chosen = choose(dataset, task, loss, *(_told(fitted, read) for read in (first, foreseen)))
    assert isinstance(chosen.whole, Boosted)
    start = NumberStart(chosen.whole, foreseen)
    fits = any(len(of.trees) for of in chosen.whole.parts) and len(train) <= SEEN * ROWS
    return Started(start, out_of_fold(train, 0, chosen.fit) if fits else None)


def _told(fitted: Fitted, read: Foreseen) -> Told:
    """The columns, and those of rows that their linear model was fitted to: such as did not see them tell these."""
    start = read.linear
    assert start is not None

    def learnt(rows: Examples) -> np.ndarray:
        return np.column_stack([read.beside(rows), fitted.apart(start, rows)]).astype(np.float32)

    return Told(read, learnt)


def load(settings: Mapping[str, Any], tensors: Tensors, asked: Asked) -> NumberStart:
    """What a run kept."""
    told: Foreseen | None = None
    width = asked.columns
    if "alike.items" in tensors:
        known, linear = load_known(tensors, asked), None
        if "linear" in settings:  # not in a run of before
            linear = load_linear(settings["linear"], _under("linear.", tensors), asked, known)
        width += 1 + (linear is not None)
        whole = width + len(OTHERS)
        several = asked.several and settings["columns"] == whole  # not in a run of before
        told, width = Foreseen(known, several, linear), whole if several else width
    if settings["columns"] != width:
        raise ValueError(f"it reads {settings['columns']} columns, and a row has {width}")
    low, high = (number("range", of) for of in settings["range"])
    if low > high:
        raise ValueError(f"range: from {low:g} to {high:g}")
    if "base" in settings:  # a run of before has one
        parts = [Part(_base(settings["base"], width), _trees(tensors, width))]
    else:
        bases = enumerate(settings["bases"])
        parts = [Part(_base(of, width), _trees(_under(f"{place}.", tensors), width)) for place, of in bases]
    if not parts:
        raise ValueError("bases: one at least")
    return NumberStart(Boosted(tuple(parts), width, low, high, told or columns), told)


def _under(name: str, tensors: Tensors) -> Tensors:
    """Those whose names begin so, by what follows."""
    return {key.removeprefix(name): of for key, of in tensors.items() if key.startswith(name)}


def _base(settings: Mapping[str, Any], width: int) -> Base:
    own, weight = settings["own"], tuple(number("base.weight", of) for of in settings["weight"])
    if len(weight) not in (0, width):
        raise ValueError(f"{len(weight)} weights of {width} columns")
    places = None
    if own is not None:
        median, count = own
        if not {median, count} <= set(range(width)):
            raise ValueError(f"own: two columns of {width}; found {median!r} and {count!r}")
        places = int(median), int(count)
    constant, centre, spread = (number(f"base.{name}", settings[name]) for name in ("constant", "centre", "spread"))
    return Base(constant, places, centre, spread, weight)


def _trees(tensors: Tensors, width: int) -> Trees:
    feature = stored(tensors, "feature", WHOLE, None, None)
    whole, inner = feature.shape, feature >= 0
    if feature.max(initial=-1) >= width or not whole[1]:
        raise ValueError(f"feature: columns of {width}, of a node at least")
    left, right = (stored(tensors, name, WHOLE, *whole) for name in ("left", "right"))
    for follow in (left, right):  # after the node itself, so that no path has no end
        if (inner & ((follow <= np.arange(whole[1])) | (follow >= whole[1]))).any():
            raise ValueError("a node of its trees is followed by none, or by one before it")
    threshold, value = (stored(tensors, name, FLOATS, *whole) for name in ("threshold", "value"))
    return Trees(feature, threshold, left, right, value)


def renumber(start: Start, numbers: np.ndarray) -> Start:
    """The start for a catalogue in which the items have other numbers."""
    assert isinstance(start, NumberStart)
    if start.told is None:
        return start
    known, linear = start.told.known.renumbered(numbers), start.told.linear
    told = replace(start.told, known=known, linear=linear and replace(linear, known=known))
    return NumberStart(replace(start.model, read=told), told)


NUMBERS = Starting(fit, load, renumber)
