"""The prior `class_names`: how alike the frozen backbone finds a text and the classes' names, which needs no labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.data.unit import of_length_one
from peftrec.tasks.priors.choice import Chosen, held_out, judge, once, predicted
from peftrec.tasks.priors.stored import FLOATS, stored
from peftrec.tasks.priors.vectors import MOST_ROWS, Vectors, in_blocks

SCALE = 10.0  # what likeness is multiplied by, so that it is about as large as the log-scores of others
MOST_NAMES = 5_000  # of more classes the names are not encoded
_JOINTS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # of Chinese, Japanese, Korean one sign


def name_rows(classes: Sequence[str], texts: TextTable) -> np.ndarray:
    """The rows int64 (C,) of the texts that the classes are called, such as `card arrival` of `card_arrival`; none
    where most names have no word in them, as numbers and letters, two have the same, or there are many."""
    said = [" ".join(_JOINTS.sub(" ", name).split()) or name for name in classes]
    worded = sum(_WORD.search(text) is not None for text in said)
    if len(said) > MOST_NAMES or len(set(said)) < len(said) or 2 * worded <= len(said):
        return np.zeros(0, np.int64)
    return np.array([texts.add(text) for text in said], np.int64)


@dataclass(frozen=True)
class NameScores:
    """Cosines of vectors of length 1, those of texts about the train rows' mean and those of names about their own:
    what all of one kind have in common tells nothing.

    centre  float32 (D,)
    names   float32 (D, C)
    """

    centre: np.ndarray
    names: np.ndarray
    vectors: Vectors

    def __call__(self, rows: Examples) -> np.ndarray:
        """Scores float32 (N, C), in proportion to log-scores."""
        if not len(rows):
            return np.zeros((0, self.names.shape[1]), np.float32)
        return in_blocks(rows, self.vectors, self._block).astype(np.float32)

    def _block(self, rows: Examples) -> np.ndarray:
        texts = of_length_one(self.vectors(rows.slots["text"]))
        cosines: np.ndarray = of_length_one(texts - self.centre) @ self.names
        return SCALE * cosines

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors."""
        return {"names": True}

    def tensors(self) -> dict[str, np.ndarray]:
        """Centre and names."""
        return {"centre": self.centre, "names": self.names}


def read_names(tensors: Mapping[str, np.ndarray], vectors: Vectors, width: int, classes: int) -> NameScores:
    """What was kept so, of vectors of that width. Raises KeyError or ValueError for what is none."""
    centre, names = stored(tensors, "centre", FLOATS, width), stored(tensors, "names", FLOATS, width, classes)
    return NameScores(centre, names, vectors)


def class_names(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray | None:
    """Class probabilities (N, C) by the likeness of the frozen vectors of text and name (zero-shot classification, Yin
    et al. 2019, arXiv:1909.00161); train rows tell only where texts lie, validation rows how sure it may be. None
    where names say nothing; see `name_rows`."""
    data = dataset.tasks[task]
    if not len(data.names):
        return None
    chosen = choose_names(dataset, task, vectors)
    return predicted(chosen, data, examples)


@once
def choose_names(dataset: Dataset, task: str, vectors: Vectors) -> Chosen[NameScores]:
    """There is one way; see `class_names`."""
    data = dataset.tasks[task]
    names = of_length_one(vectors(data.names))
    centred = of_length_one(names - names.mean(0)).T.astype(np.float32)

    def fit(rows: Examples) -> NameScores:
        texts = of_length_one(vectors(rows.thinned(MOST_ROWS).slots["text"]))
        return NameScores(texts.mean(0).astype(np.float32), centred, vectors)

    fitted, check = (rows.thinned(MOST_ROWS) for rows in held_out(data))
    return Chosen(judge("names", fit(fitted)(check), check.label), check, fit, fit(data.train))
