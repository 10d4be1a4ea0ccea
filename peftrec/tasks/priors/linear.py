"""A fitted linear model as two arrays, whatever fitted it: so it can be kept, and applied without scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peftrec.tasks.priors.several import EachClass
from peftrec.tasks.priors.stored import FLOATS, stored


@dataclass(frozen=True)
class Linear:
    """features @ weight + bias: log-scores of classes, up to one factor, or numbers.

    weight  float32 (F, C); (F, 1) of numbers
    bias    float32 (C,), minus infinity for classes never seen
    numbers whether it predicts numbers
    """

    weight: np.ndarray
    bias: np.ndarray
    numbers: bool

    def __call__(self, features: Any) -> np.ndarray:
        """Scores (N, C), or numbers (N,), of features (N, F), which may be sparse."""
        found = np.asarray(features @ self.weight) + self.bias
        return found[:, 0] if self.numbers else found

    def of_none(self) -> np.ndarray:
        """What it says of no features, (0, C) or (0,)."""
        return np.zeros((0, *self.bias.shape[: not self.numbers]), np.float32)

    def of_unscaled(self, centre: np.ndarray, spread: np.ndarray) -> "Linear":
        """The same, fitted to features that were standardised, of features as they were before it:
        (x - centre) / spread @ w = x @ (w / spread) - centre @ (w / spread); both (F,)."""
        weight = self.weight / spread[:, None].astype(np.float32)
        return replace(self, weight=weight, bias=(self.bias - centre @ weight).astype(np.float32))

    def tensors(self) -> dict[str, np.ndarray]:
        """What `read_linear` takes; infinity, which a file has none of, is a number so low that it stands for it."""
        bias = np.where(np.isfinite(self.bias), self.bias, np.finfo(np.float32).min).astype(np.float32)
        return {"bias": bias, "weight": self.weight}


def read_linear(tensors: Mapping[str, np.ndarray], features: int, classes: int) -> Linear:
    """What was kept so, of so many features, and of classes or (0) numbers. Raises KeyError and ValueError."""
    weight = stored(tensors, "weight", FLOATS, features, classes or 1)
    bias = stored(tensors, "bias", FLOATS, classes or 1)
    unseen = bias == np.finfo(np.float32).min
    if unseen.all():
        raise ValueError("bias: no class was ever seen")
    return Linear(weight.astype(np.float32), np.where(unseen, -np.inf, bias), not classes)


def linear(model: Any, classes: int) -> Linear:
    """The fitted model, of classes 0 to C - 1 of which it may have seen a part, or of numbers (`classes` 0)."""
    if isinstance(model, EachClass):
        parts = [_margin(of) for of in model.models]
        width = max(len(weight) for weight, _ in parts)
        weight = np.stack([np.resize(of, width) if len(of) else np.zeros(width) for of, _ in parts], 1)
        return Linear(weight.astype(np.float32), np.array([bias for _, bias in parts], np.float32), False)
    weight, bias = _weights(model)
    if not classes:
        return Linear(weight.astype(np.float32), bias.astype(np.float32), True)
    if weight.shape[1] == 1 and len(model.classes_) == 2:  # for the second of two
        weight, bias = np.concatenate([-weight, weight], 1) / 2, np.concatenate([-bias, bias]) / 2
    every, of_every = np.zeros((len(weight), classes), np.float32), np.full(classes, -np.inf, np.float32)
    every[:, model.classes_], of_every[model.classes_] = weight, bias
    return Linear(every, of_every, False)


def _weights(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, K) and biases (K,) of a model of scikit-learn, or of ours."""
    if hasattr(model, "feature_log_prob_"):  # naive Bayes; of a single class its prior would stand beside, the same
        return model.feature_log_prob_.T, np.zeros(len(model.feature_log_prob_))
    if hasattr(model, "means"):
        return model.means.T, np.zeros(len(model.means))
    return np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)


def _margin(model: Any) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of how much more speaks for the class than against it; no weights for a constant."""
    if isinstance(model, float):
        return np.zeros(0), model
    weight, bias = _weights(model)
    if weight.shape[1] == 2:
        return weight[:, 1] - weight[:, 0], float(bias[1] - bias[0])
    return weight[:, 0], float(bias[0])
