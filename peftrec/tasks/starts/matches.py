"""The start of matches without grades: BM25 beside the head's own cosine, which begins as the frozen backbone's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.bm25 import COUNTERS, CatalogueBm25
from peftrec.tasks.priors.catalogue import choose_blend
from peftrec.tasks.priors.stored import number, sorts
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Asked, Started, Starting, Tensors


class MatchStart:
    """lexical * BM25 of one sort of n-grams, with the catalogue of the rows; the head begins with scale * cosine.

    scale  what cosines are multiplied by; None where nothing is known of it
    """

    def __init__(self, scale: float | None, lexical: float, sort: str, texts: TextTable) -> None:
        self.scale, self.lexical, self.sort, self.texts = scale, lexical, sort, texts
        self._counted: tuple[Catalogue, CatalogueBm25] | None = None

    @property
    def name(self) -> str:
        """The priors' names."""
        parts = {"cosine": self.scale is None or self.scale > 0, "bm25": self.lexical > 0}
        return " + ".join(name for name, part in parts.items() if part)

    def __call__(self, rows: Examples) -> np.ndarray:
        """Of each row's own item, and then of every candidate, float32 (N, 1 + C)."""
        if not self.lexical:
            return np.zeros((len(rows), 1 + (0 if rows.candidates is None else len(rows.candidates))), np.float32)
        assert rows.catalogue is not None
        return np.float32(self.lexical) * self.of(rows.catalogue)(rows)

    def of(self, catalogue: Catalogue) -> CatalogueBm25:
        """BM25 with the items of a catalogue, which are counted once."""
        if self._counted is None or self._counted[0] is not catalogue:
            self._counted = catalogue, CatalogueBm25(self.sort, self.texts, catalogue)
        return self._counted[1]

    def settings(self) -> dict[str, Any]:
        """All there is: n-grams are counted again, in the run's catalogue."""
        return {"scale": self.scale, "lexical": self.lexical, "sort": self.sort}

    def tensors(self) -> dict[str, np.ndarray]:
        """None."""
        return {}


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started:
    """The weights that the train rows give, and the n-grams that the validation rows choose."""
    found, data = choose_blend(dataset, task, vectors), dataset.tasks[task]
    start = MatchStart(None if vectors is None else found.cosine, found.lexical, found.sort, dataset.texts)
    if found.lexical:
        assert data.train.catalogue is not None
        queries = [part.slots["query"] for part in (data.train, data.valid, data.test)]
        start.of(data.train.catalogue).remember(np.concatenate(queries))
    return Started(start)


def load(settings: Mapping[str, Any], tensors: Tensors, asked: Asked) -> MatchStart:
    """What a run kept."""
    (sort,) = sorts("sort", [settings["sort"]], COUNTERS)
    scale = None if settings["scale"] is None else number("scale", settings["scale"])
    lexical = number("lexical", settings["lexical"])
    if min(lexical, scale or 0) < 0:
        raise ValueError("scale, lexical: they are not below 0")
    return MatchStart(scale, lexical, sort, asked.texts)


MATCHES = Starting(fit, load)
