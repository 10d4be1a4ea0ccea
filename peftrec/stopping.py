"""Early stopping: remember the best epoch's weights by a validation score, and put them back at the end."""

from typing import Any

import torch
from torch import nn

from peftrec.metrics import CHOICE, METRICS, RANKING
from peftrec.recipe import Recipe, TaskConfig, UserError, nearest
from peftrec.tasks import find_kind, loss_of

Scores = dict[str, dict[str, float | None]]  # task -> metric -> value

# The metric that equals a task's loss on the validation rows, and the power it is raised to.
AS_LOSS = {
    "cross_entropy": ("log_loss", 1),
    "softmax": ("log_loss", 1),
    "bce": ("log_loss", 1),
    "mae": ("mae", 1),
    "mse": ("rmse", 2),
}


class BestEpoch:
    """Watches `train.early_stopping.metric`, by default the weighted sum of the tasks' validation losses.

    Without `early_stopping` it never stops and restores nothing. Raises UserError for a metric that no task has, or
    when there is no validation split to watch.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, config = recipe, recipe.train.early_stopping
        self.patience = config.patience if config else 0
        self.metric = config.metric if config else None
        self.best, self.waited = float("-inf"), 0
        self.weights: dict[str, torch.Tensor] = {}
        if config and recipe.data.split.kind != "given" and recipe.data.split.valid == 0:
            raise UserError("train.early_stopping: needs validation rows; found data.split.valid: 0")
        if self.metric is not None:
            known = [f"{name}.{m}" for name, task in recipe.trained.items() for m in _measured(task)]
            if self.metric not in known:
                raise UserError(
                    f"train.early_stopping.metric: {self.metric!r} is no task.metric; {nearest(self.metric, known)}"
                )

    def see(self, scores: Scores, trainable: dict[str, nn.Parameter]) -> None:
        """Take an epoch's validation scores, and its weights when they are the best so far."""
        if not self.patience:
            return
        value = self._value(scores)
        if value > self.best:
            self.best, self.waited = value, 0
            self.weights = {name: p.detach().clone() for name, p in trainable.items()}
        else:
            self.waited += 1

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return self.patience > 0 and self.waited >= self.patience

    @torch.no_grad()
    def restore(self, trainable: dict[str, nn.Parameter]) -> None:
        """Put the best epoch's weights back."""
        for name, value in self.weights.items():
            trainable[name].copy_(value)

    def state(self) -> dict[str, float | None]:
        """What `load_state` takes beside the weights, as plain values for JSON (which has no infinity: null)."""
        return {"best": None if self.best == float("-inf") else self.best, "waited": self.waited}

    def load_state(self, state: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        """Put back what `state` and `weights` were."""
        self.best = float("-inf") if state["best"] is None else state["best"]
        self.waited, self.weights = state["waited"], weights

    def _value(self, scores: Scores) -> float:
        """The watched score, higher is better; an undefined one never wins."""
        if self.metric is not None:
            task, metric = self.metric.split(".", 1)
            found = scores.get(task, {}).get(metric)
            return float("-inf") if found is None else found * (1 if (METRICS | RANKING)[metric].higher else -1)
        total = 0.0
        for name, values in scores.items():
            metric, power = AS_LOSS[loss_of(self.recipe.tasks[name])]
            total -= self.recipe.tasks[name].weight * float(values[metric] or 0) ** power
        return total


def _measured(task: TaskConfig) -> list[str]:
    """The metrics that a task's validation rows are measured by."""
    return list(find_kind(task.kind).metrics[loss_of(task)] or [*RANKING, *CHOICE])
