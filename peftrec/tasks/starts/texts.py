"""The start of texts and of graded pairs: linear models on the frozen backbone's vectors, its upper layers and n-grams,
or on what the two texts of a pair share of these, what classes are called, and what other tasks say, weighed by rows
that they were not fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.choice import Chosen
from peftrec.tasks.priors.cutpoints import Cutpoints, fit_cutpoints, middles_of, read_cutpoints
from peftrec.tasks.priors.matching import OverlapScores, choose_overlaps, read_scores
from peftrec.tasks.priors.names import NameScores, choose_names, read_names
from peftrec.tasks.priors.others import OtherScores, choose_others, read_others
from peftrec.tasks.priors.pool import finite, out_of_fold, pooled
from peftrec.tasks.priors.stored import number
from peftrec.tasks.priors.texts import GramScores, choose_grams, read_grams
from peftrec.tasks.priors.vectors import (
    Vectors,
    VectorScores,
    choose_layers,
    choose_vectors,
    folds_of_layers,
    folds_of_vectors,
    read_vectors,
)
from peftrec.tasks.starts.base import Asked, Started, Starting, Tensors

LEAST = 0.01  # the weight below which a predictor is left out, as a share of all
POOLED = 1 << 22  # train rows times classes that weights are fitted to; of more every so many

Part = GramScores | OverlapScores | VectorScores | NameScores | OtherScores


@dataclass(frozen=True)
class TextStart:
    """A weighted sum of fitted predictors' scores, and a constant.

    parts   name of a prior -> what was fitted as such
    weight  of each
    shift   what is added: of numbers, which are pooled about the train rows' mean
    cutpoints  of numbers of few levels: what makes medians of them
    """

    parts: dict[str, Part]
    weight: dict[str, float]
    shift: float = 0.0
    cutpoints: Cutpoints | None = None

    @property
    def name(self) -> str:
        """The priors' names."""
        return " + ".join(self.parts)

    def __call__(self, rows: Examples) -> np.ndarray:
        """Logits float32 (N, C), or numbers (N,)."""
        said = [self.weight[name] * finite(of(rows)) for name, of in self.parts.items()]
        return self.medians(sum(said[1:], said[0]) + self.shift)

    def medians(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (N,) as such, where labels are of few levels; else as they are; float32."""
        found = numbers if self.cutpoints is None else self.cutpoints(numbers)
        return found.astype(np.float32)

    def settings(self) -> dict[str, Any]:
        """How each part reads a text."""
        parts = {name: of.settings() for name, of in self.parts.items()}
        return {"weight": self.weight, "shift": self.shift, "parts": parts}

    def tensors(self) -> dict[str, np.ndarray]:
        """Those of the parts, under their names, and the cutpoints."""
        own = {} if self.cutpoints is None else self.cutpoints.tensors()
        return own | {
            f"{name}.{key}": tensor for name, of in self.parts.items() for key, tensor in of.tensors().items()
        }


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Fit the priors, and weigh them by rows that they were not fitted on: those of validation, and the train rows by
    folds. Of queries the former alone may be a handful, whose rows are alike. In a second training the weights are
    those of the first, of the same rows."""
    data = dataset.tasks[task]
    classes = len(data.classes)
    weighed = data.train if data.divided is None else data.divided[0]
    chosen: dict[str, Chosen[Part]] = {}
    if "text" in data.train.slots:
        chosen["tfidf"] = choose_grams(dataset, task)
    else:
        chosen["lexical"] = choose_overlaps(dataset, task)
    if vectors is not None:
        # Before the vectors, which are theirs where layers are kept.
        layers = choose_layers(dataset, task, vectors)
        chosen["frozen_lr"] = choose_vectors(dataset, task, vectors)
        if layers is not None:
            chosen["layers_lr"] = layers
        if len(data.names):
            chosen["class_names"] = choose_names(dataset, task, vectors)
        if "text" in data.train.slots and (others := choose_others(dataset, task, vectors)) is not None:
            chosen["other_tasks"] = others
    shift = 0.0 if classes else float(weighed.label.mean(dtype=np.float64))
    folds = _folds(dataset, task, chosen, vectors, data.train)
    before = folds if weighed is data.train else _folds(dataset, task, chosen, vectors, weighed)
    check = min((of.check for of in chosen.values()), key=len)  # those that were thinned saw fewer
    some = _spaced(len(weighed), POOLED // max(1, classes))
    said = [np.concatenate([finite(_of_rows(of, check)), before[name][some]]) - shift for name, of in chosen.items()]
    label = np.concatenate([check.label, weighed.label[some]])
    weight = dict(zip(chosen, pooled(said, label if classes else label - shift, classes).tolist(), strict=True))
    weight = {name: of for name, of in weight.items() if of > LEAST * sum(weight.values())}
    if not weight and data.divided is None:
        return None
    weight = weight or dict.fromkeys(list(chosen)[:1], 0.0)  # what was learned beside a start needs one again
    constant = shift * (1 - sum(weight.values()))
    cutpoints = None
    if not classes:
        total = sum(weight.get(name, 0.0) * of for name, of in zip(chosen, said, strict=True)) + shift
        cutpoints = fit_cutpoints(total, label, middles_of(data))
    start = TextStart({name: chosen[name].whole for name in weight}, weight, constant, cutpoints)
    train: np.ndarray = sum(of * folds[name] for name, of in weight.items()) + constant
    return Started(start, start.medians(train))


def _folds(
    dataset: Dataset, task: str, chosen: Mapping[str, Chosen[Part]], vectors: Vectors | None, rows: Examples
) -> dict[str, np.ndarray]:
    """What is said of train rows by such as were not fitted on them."""
    data, found = dataset.tasks[task], {}
    common = {"frozen_lr": folds_of_vectors, "layers_lr": folds_of_layers}  # which other tasks ask for too
    for name, of in chosen.items():
        said = None
        if rows is data.train and name in common and vectors is not None:
            said = common[name](dataset, task, vectors)
        found[name] = finite(out_of_fold(rows, len(data.classes), of.fit)) if said is None else said
    return found


def _spaced(rows: int, most: int) -> np.ndarray:
    """The numbers of all rows or, of more than `most`, every so many."""
    return np.arange(rows) if rows <= most else np.arange(most) * rows // most


def _of_rows(chosen: Chosen[Part], check: Examples) -> np.ndarray:
    """What was said of these check rows when it was chosen."""
    if len(chosen.check) == len(check):
        return chosen.tried.scores
    return chosen.tried.scores[_spaced(len(chosen.check), len(check))]


def load(settings: Mapping[str, Any], tensors: Tensors, asked: Asked) -> TextStart:
    """What a run kept."""
    parts: dict[str, Part] = {}
    for name, of in settings["parts"].items():
        own = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
        try:
            parts[name] = _part(of, own, asked)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if not parts:
        raise ValueError("it has no parts")
    weight = {name: number(f"weight.{name}", settings["weight"][name]) for name in parts}
    cutpoints = read_cutpoints(tensors) if not asked.classes and "cutpoints.at" in tensors else None
    return TextStart(parts, weight, number("shift", settings["shift"]), cutpoints)


def _part(of: Mapping[str, Any], tensors: Tensors, asked: Asked) -> Part:
    if "overlaps" in of:
        if "text" in asked.slots:
            raise ValueError("it compares the texts of a pair, and a row has one text")
        return read_scores(of, tensors, asked.texts, asked.classes)
    if any(key in of for key in ("sorts", "names", "others")) and "text" not in asked.slots:
        raise ValueError(f"it reads one text, and a row has {' and '.join(asked.slots)}")
    if "sorts" in of:
        return read_grams(of, tensors, asked.texts, asked.classes)
    if asked.vectors is None:
        raise ValueError("it needs the frozen backbone's vectors")
    if "others" in of:
        return read_others(of, tensors, asked.vectors, asked.width, asked.classes)
    if "names" in of:
        return read_names(tensors, asked.vectors, asked.width, asked.classes)
    return read_vectors(of, tensors, asked.vectors, asked.width, asked.slots, asked.classes)


TEXTS = Starting(fit, load)
