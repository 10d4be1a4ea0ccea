"""The start of numbers of events: gradient-boosted trees, and what they are added to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.losses import LOSSES
from peftrec.tasks.priors.boosted import ROWS, Base, Boosted, Trees, choose_boosted
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Started, Starting, Tensors
from peftrec.tasks.starts.pool import out_of_fold

SEEN = 10  # times the rows that are fitted to: of so many rows few were seen


@dataclass(frozen=True)
class NumberStart:
    """What the validation rows chose."""

    model: Boosted

    @property
    def name(self) -> str:
        """As `Boosted` has it."""
        return self.model.name

    def __call__(self, rows: Examples) -> np.ndarray:
        """Numbers float32 (N,)."""
        return self.model(rows).astype(np.float32)

    def settings(self) -> dict[str, Any]:
        """The base, how many columns there are, and what is predicted at least and at most."""
        return {
            "base": asdict(self.model.base),
            "columns": self.model.width,
            "range": [self.model.low, self.model.high],
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """The trees."""
        return {of.name: getattr(self.model.trees, of.name) for of in fields(Trees)}


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started:
    """Choose it, and predict the train rows by folds where it saw many of them."""
    chosen, train = choose_boosted(dataset, task, LOSSES.get(config.loss or "")), dataset.tasks[task].train
    assert isinstance(chosen.whole, Boosted)
    start = NumberStart(chosen.whole)
    fits = len(chosen.whole.trees) > 0 and len(train) <= SEEN * ROWS
    return Started(start, out_of_fold(train, 0, chosen.fit) if fits else None)


def load(settings: Mapping[str, Any], tensors: Tensors, texts: TextTable, vectors: Vectors | None) -> NumberStart:
    """What a run kept."""
    base = dict(settings["base"])
    own, weight = base.pop("own"), tuple(map(float, base.pop("weight")))
    low, high = map(float, settings["range"])
    trees = Trees(**{of.name: tensors[of.name] for of in fields(Trees)})
    width = int(settings["columns"])
    whole, inner = trees.feature.shape, trees.feature >= 0
    if any(getattr(trees, of.name).shape != whole for of in fields(Trees)) or len(whole) != 2:
        raise ValueError("its trees are of several sizes")
    for follow in (trees.left, trees.right):  # after the node itself, so that no path has no end
        if (inner & ((follow <= np.arange(whole[1])) | (follow >= whole[1]))).any():
            raise ValueError("a node of its trees is followed by none, or by one before it")
    if trees.feature.max(initial=-1) >= width or (own is not None and not 0 <= min(own) <= max(own) < width):
        raise ValueError(f"it reads a column beyond {width}")
    if len(weight) not in (0, width):
        raise ValueError(f"{len(weight)} weights of {width} columns")
    known = {name: float(number) for name, number in base.items()}
    columns = None if own is None else (int(own[0]), int(own[1]))
    return NumberStart(Boosted(Base(**known, own=columns, weight=weight), trees, width, low, high))


NUMBERS = Starting(fit, load)
