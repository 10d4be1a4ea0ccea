"""Priors of rows with several labels: a model a class, which tells the rows that have it from the others."""

from copy import deepcopy
from typing import Any

import numpy as np

SURE = 8.0  # the log-odds of a class that all rows have; with a minus, of one that none has


class EachClass:
    """Copies of an unfitted model of two classes, one for each column of the labels."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, features: Any, label: np.ndarray) -> "EachClass":
        """From features (N, F) and labels (N, C), 1 or 0."""
        self.classes_ = np.arange(label.shape[1])
        self.models = [_fitted(self.model, features, having) for having in label.T == 1]
        return self

    def decision_function(self, features: Any) -> np.ndarray:
        """Log-odds (N, C) that a row has each class, up to one factor."""
        odds = [
            np.full(features.shape[0], of) if isinstance(of, float) else _margin(of, features) for of in self.models
        ]
        return np.stack(odds, 1)


class OneClass:
    """What a linear model is where all rows it is fitted to are of one class: nothing tells it from others."""

    def __init__(self, label: Any, width: int) -> None:
        self.classes_, self.coef_, self.intercept_ = np.array([label]), np.zeros((1, width)), np.zeros(1)


def _fitted(model: Any, features: Any, having: np.ndarray) -> Any:
    """The model of one class, or its log-odds where the rows are alike."""
    if having.all() or not having.any():
        return SURE if having.all() else -SURE
    return deepcopy(model).fit(features, having.astype(np.int64))


def _margin(model: Any, features: Any) -> np.ndarray:
    """How much more for the class than against it, (N,)."""
    scores: np.ndarray = (
        model.decision_function(features) if hasattr(model, "decision_function") else model.predict_log_proba(features)
    )
    return scores if scores.ndim == 1 else scores[:, 1] - scores[:, 0]
