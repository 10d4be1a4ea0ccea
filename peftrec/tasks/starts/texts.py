"""The start of texts and of graded pairs: linear models on the frozen backbone's vectors and on n-grams, or on what the
two texts of a pair share of these, weighed by rows that they were not fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors.choice import Chosen, Scores
from peftrec.tasks.priors.grams import TfIdf
from peftrec.tasks.priors.linear import Linear
from peftrec.tasks.priors.matching import OverlapScores, choose_overlaps, read_overlaps
from peftrec.tasks.priors.texts import COUNTERS, GramScores, choose_grams
from peftrec.tasks.priors.vectors import SHAPES, Vectors, VectorScores, choose_vectors
from peftrec.tasks.starts.base import Started, Starting, Tensors
from peftrec.tasks.starts.pool import finite, out_of_fold, pooled

LEAST = 0.01  # the weight below which a predictor is left out, as a share of all
POOLED = 1 << 22  # train rows times classes that weights are fitted to; of more every so many


@dataclass(frozen=True)
class TextStart:
    """A weighted sum of fitted predictors' scores, and a constant.

    parts   name of a prior -> what was fitted as such
    weight  of each
    shift   what is added: of numbers, which are pooled about the train rows' mean
    """

    parts: dict[str, Scores]
    weight: dict[str, float]
    shift: float = 0.0

    @property
    def name(self) -> str:
        """The priors' names."""
        return " + ".join(self.parts)

    def __call__(self, rows: Examples) -> np.ndarray:
        """Logits float32 (N, C), or numbers (N,)."""
        said = [self.weight[name] * finite(of(rows)) for name, of in self.parts.items()]
        total: np.ndarray = (sum(said[1:], said[0]) + self.shift).astype(np.float32)
        return total

    def settings(self) -> dict[str, Any]:
        """How each part reads a text."""
        described: dict[str, Any] = {"weight": self.weight, "shift": self.shift, "parts": {}}
        for name, of in self.parts.items():
            if isinstance(of, GramScores):
                described["parts"][name] = {"sorts": list(of.sorts), "numbers": of.model.numbers}
            elif isinstance(of, OverlapScores):
                described["parts"][name] = {"overlaps": [one.sort for one in of.overlaps]}
            else:
                assert isinstance(of, VectorScores)
                described["parts"][name] = {"shape": of.shape, "unit": of.unit, "numbers": of.model.numbers}
        return described

    def tensors(self) -> dict[str, np.ndarray]:
        """The linear models; of n-grams in 16 bits, and what they count."""
        kept: dict[str, np.ndarray] = {}
        for name, of in self.parts.items():
            assert isinstance(of, GramScores | VectorScores | OverlapScores)
            kept[f"{name}.bias"], kept[f"{name}.weight"] = _known(of.model.bias), of.model.weight
            if isinstance(of, GramScores):
                kept[f"{name}.weight"] = of.model.weight.astype(np.float16)
                for sort, columns, rarity in zip(of.sorts, of.weigh.columns, of.weigh.rarity, strict=True):
                    kept[f"{name}.{sort}.columns"], kept[f"{name}.{sort}.rarity"] = columns, rarity
            if isinstance(of, OverlapScores):
                kept |= {f"{name}.{key}": tensor for one in of.overlaps for key, tensor in one.tensors().items()}
        return kept


def _known(bias: np.ndarray) -> np.ndarray:
    """Without infinity, which a file has none of: a number so low that it stands for it."""
    return np.where(np.isfinite(bias), bias, np.finfo(np.float32).min).astype(np.float32)


def _read(bias: np.ndarray) -> np.ndarray:
    return np.where(bias == np.finfo(np.float32).min, -np.inf, bias)


def fit(dataset: Dataset, task: str, config: TaskConfig, vectors: Vectors | None) -> Started | None:
    """Fit both priors, and weigh them by rows that they were not fitted on: those of validation, and the train rows by
    folds. Of queries the former alone may be a handful, whose rows are alike."""
    data = dataset.tasks[task]
    classes = len(data.classes)
    chosen: dict[str, Chosen] = {}
    if "text" in data.train.slots:
        chosen["tfidf"] = choose_grams(dataset, task)
    else:
        chosen["lexical"] = choose_overlaps(dataset, task)
    if vectors is not None:
        chosen["frozen_lr"] = choose_vectors(dataset, task, vectors)
    shift = 0.0 if classes else float(data.train.label.mean(dtype=np.float64))
    folds = {name: finite(out_of_fold(data.train, classes, of.fit)) for name, of in chosen.items()}
    check = min((of.check for of in chosen.values()), key=len)  # those that were thinned saw fewer
    some = _spaced(len(data.train), POOLED // max(1, classes))
    said = [np.concatenate([finite(_of_rows(of, check)), folds[name][some]]) - shift for name, of in chosen.items()]
    label = np.concatenate([check.label, data.train.label[some]])
    weight = dict(zip(chosen, pooled(said, label if classes else label - shift, classes).tolist(), strict=True))
    weight = {name: of for name, of in weight.items() if of > LEAST * sum(weight.values())}
    if not weight:
        return None
    constant = shift * (1 - sum(weight.values()))
    start = TextStart({name: chosen[name].whole for name in weight}, weight, constant)
    train: np.ndarray = sum(of * folds[name] for name, of in weight.items()) + constant
    return Started(start, train.astype(np.float32))


def _spaced(rows: int, most: int) -> np.ndarray:
    """The numbers of all rows or, of more than `most`, every so many."""
    return np.arange(rows) if rows <= most else np.arange(most) * rows // most


def _of_rows(chosen: Chosen, check: Examples) -> np.ndarray:
    """What was said of these check rows when it was chosen."""
    if len(chosen.check) == len(check):
        return chosen.tried.scores
    return chosen.tried.scores[_spaced(len(chosen.check), len(check))]


def load(settings: Mapping[str, Any], tensors: Tensors, texts: TextTable, vectors: Vectors | None) -> TextStart:
    """What a run kept."""
    parts: dict[str, Scores] = {}
    for name, of in settings["parts"].items():
        bias = _read(tensors[f"{name}.bias"])
        model = Linear(tensors[f"{name}.weight"].astype(np.float32), bias, bool(of.get("numbers")))
        if "sorts" in of:
            sorts = tuple(of["sorts"])
            columns, rarity = (
                tuple(tensors[f"{name}.{sort}.{what}"] for sort in sorts if sort in COUNTERS)
                for what in ("columns", "rarity")
            )
            if len(model.weight) != sum(map(len, columns)):
                raise ValueError(f"{name}: {len(model.weight):,} weights of {sum(map(len, columns)):,} n-grams")
            parts[name] = GramScores(sorts, TfIdf(columns, rarity), model, texts)
        elif "overlaps" in of:
            found = tuple(read_overlaps(str(sort), name, tensors, texts) for sort in of["overlaps"])
            if len(model.weight) != 3 * len(found):
                raise ValueError(f"{name}: {len(model.weight):,} weights of {3 * len(found)} overlaps")
            parts[name] = OverlapScores(found, model)
        else:
            if vectors is None or of["shape"] not in SHAPES:
                raise ValueError(f"{name}: it needs the frozen backbone's vectors, of a known shape")
            parts[name] = VectorScores(of["shape"], bool(of["unit"]), model, vectors)
    return TextStart(parts, {name: float(settings["weight"][name]) for name in parts}, float(settings["shift"]))


TEXTS = Starting(fit, load)
