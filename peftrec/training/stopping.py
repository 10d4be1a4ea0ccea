"""Early stopping: the best epoch by a validation score, and each task's own best, with the weights that they had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from peftrec.data.dataset import Dataset
from peftrec.errors import UserError, nearest, shown
from peftrec.evaluation.chosen import measures_of
from peftrec.evaluation.metrics import OF_IMPRESSIONS, is_higher
from peftrec.evaluation.values import AT_BEST
from peftrec.tasks.kind import Task, trained
from peftrec.training.defaults import Settled

_MEND = "give them a share (data.split.valid above 0) or, where the split is given, mark some rows 'valid'"

GAIN = 0.001  # share of a task's error that must go for training to be worth going on with
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of what a head has learned beside its start, of which one is kept in the end
T = TypeVar("T")
Scores = dict[str, dict[str, float | None]]  # task -> metric -> value


@dataclass
class Best:
    """The best so far: its score, higher is better, after which step that was, and the weights then, by name."""

    score: float = float("-inf")
    step: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def see(self, score: float, step: int, parameters: Mapping[str, nn.Parameter]) -> None:
        """Take the weights as they are now, of that score."""
        self.score, self.step = score, step
        self.weights = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def restore(self, trainable: Mapping[str, nn.Parameter]) -> None:
        """Put the weights back."""
        for name, value in self.weights.items():
            trainable[name].copy_(value)

    def state(self) -> list[float | None]:
        """All but the weights, for JSON, which has no infinity."""
        return [None if self.score == float("-inf") else self.score, self.step]

    @classmethod
    def of(cls, state: Sequence[Any], weights: Mapping[str, torch.Tensor]) -> "Best":
        """What `state` and the weights were."""
        score, step = state
        return cls(float("-inf") if score is None else score, step, dict(weights))


class BestEpoch:
    """Watches `train.early_stopping.metric`, by default the weighted mean of the tasks' gains: of its error, the share
    that a task has lost since the first evaluation, or 0 where it has grown, since a task may fall back on its own best
    epoch. What is its error, see `error`.

    Training goes on as long as any task, or all together, lose GAIN of their error within the patience: less is what
    chance gives on the validation rows, to one task or the other, for ever. With a metric of the recipe's choice any
    gain of that counts. Either way the best weights are kept, by however little they are better.

    Tasks without validation rows, and those of weight 0, are not watched. Without `early_stopping` it never stops and
    restores nothing.

    joint  the best epoch by that
    own    task -> its own best epoch, and of the weights those that no other task reads (`own_parts`); not of the task
           whose metric says which is the joint best
    passed task, '' for all together -> the error that the next must be lower by GAIN than
    """

    def __init__(self, config: Settled, tasks: Mapping[str, Task]) -> None:
        self.tasks, stopping = tasks, config.early_stopping
        self.patience = stopping.patience if stopping else 0
        self.metric = stopping.metric if stopping else None
        self.judged = self.metric and self.metric.split(".", 1)[0]
        self.joint, self.waited = Best(), 0
        self.own: dict[str, Best] = {}
        self.first: dict[str, float] = {}
        self.passed: dict[str, float] = {}

    def see(self, step: int, scores: Scores, trainable: Mapping[str, nn.Parameter], no_worse: bool = False) -> None:
        """Take the validation scores after `step`, and the weights when they are the best so far, or `no_worse`."""
        if not self.patience:
            return
        value = self._value(scores)
        gained = value > self.joint.score
        # Where no task has gained anything all epochs are alike, and the start is the one to keep.
        as_good = value == self.joint.score and (self.metric is not None or value > 0)
        if best := gained or (no_worse and as_good):
            self.joint.see(value, step, trainable)
        errors = self._errors(scores)
        for name, of in errors.items():
            if name == self.judged:
                continue
            own = self.own.setdefault(name, Best())
            if -of > own.score or (best and -of == own.score):
                own.see(-of, step, own_parts(name, trainable))
        if self.metric is None:
            best = self._passes(errors | {"": 1 - value})
        self.waited = 0 if best else self.waited + 1

    def _passes(self, errors: dict[str, float]) -> bool:
        """Whether any error is lower by GAIN than when one last was."""
        passing = {name: of for name, of in errors.items() if name not in self.passed or of < self._bound(name)}
        self.passed |= passing
        return bool(passing)

    def _bound(self, name: str) -> float:
        return self.passed[name] - GAIN * abs(self.passed[name])

    def _value(self, scores: Scores) -> float:
        return 1 - self.loss(scores) if self.metric is None else score(scores, self.tasks, self.metric)

    def _errors(self, scores: Scores) -> dict[str, float]:
        return {name: error(self.tasks[name], of) for name, of in scores.items() if self.tasks[name].config.weight}

    def loss(self, scores: Scores) -> float:
        """The weighted mean over the tasks of their errors, each as a share of what it was at first, at most all."""
        errors = self._errors(scores)
        self.first = self.first or errors
        weights = {name: self.tasks[name].config.weight for name in errors}
        shares = [weights[name] * min(of / (self.first[name] or 1.0), 1.0) for name, of in errors.items()]
        return sum(shares) / sum(weights.values())

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return self.patience > 0 and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """What `load_state` takes beside the weights, as plain values for JSON (which has no infinity: null)."""
        own = {name: best.state() for name, best in self.own.items()}
        counted = {"waited": self.waited, "first": self.first, "passed": self.passed}
        return {"joint": self.joint.state(), "own": own, **counted}

    def tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        """The weights of the best epoch, and those of the tasks' own."""
        own = {name: value for best in self.own.values() for name, value in best.weights.items()}
        return {"best": self.joint.weights, "best_own": own}

    def load_state(self, state: Mapping[str, Any], tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Put back what `state` and `tensors` were."""
        self.waited, self.first, self.passed = state["waited"], state["first"], state.get("passed", {})
        self.joint = Best.of(state["joint"], tensors.get("best", {}))
        of_all = tensors.get("best_own", {})
        self.own = {name: Best.of(of, own_parts(name, of_all)) for name, of in state["own"].items()}


def own_parts(task: str, named: Mapping[str, T]) -> dict[str, T]:
    """What of parameters named as `CoLearner.trainable` names them is the task's own: its head, and its part of
    adapter and fusion where it has one."""
    return {name: part for name, part in named.items() if name.split("/")[1] == task}


def error(task: Task, scores: Mapping[str, float | None]) -> float:
    """What early stopping judges a task by, lower is better: the metric of its loss, of rows with weights its
    `weighted_loss`; where there is one, of what would be kept of the epoch, not of all of it: a head that grows too
    sure of itself still learns what is right."""
    plain = scores.get("weighted_loss", scores[task.loss.metric])
    return float(scores.get(AT_BEST, plain) or 0)


def check_metric(metric: str | None, tasks: Mapping[str, Task], place: str) -> None:
    """Raise UserError, naming `place`, for a metric that no trained task has; None stands for the validation loss."""
    known = [f"{name}.{m}" for name, task in trained(tasks).items() for m in _measured(task)]
    if metric is not None and metric not in known:
        raise UserError(f"{place}: {shown(metric)} is no task.metric; {nearest(metric, known)}")


def check_watched(metric: str | None, tasks: Mapping[str, Task], dataset: Dataset, place: str) -> None:
    """Raise UserError, naming `place` and the tasks, where one that `score` reads has no validation rows, or no lists
    that were shown for a metric of such."""
    of_loss = [name for name, task in trained(tasks).items() if task.config.weight > 0]
    watched = of_loss if metric is None else [metric.split(".", 1)[0]]
    lacking = [name for name in watched if not len(dataset.tasks[name].valid)]
    if lacking:
        raise UserError(f"{place}: needs validation rows, of which there are none for {', '.join(lacking)}; {_MEND}")
    if metric is not None and metric.split(".", 1)[1] in OF_IMPRESSIONS and not dataset.tasks[watched[0]].impressions:
        raise UserError(f"{place}: {metric} needs lists that were shown: the key impression of the task's table")


def unwatched_notes(config: Settled, tasks: Mapping[str, Task], dataset: Dataset) -> list[str]:
    """Which trained tasks have, or in a second training had, no validation rows, so that nothing tells when they are
    trained too long."""
    data = {name: dataset.tasks[name] for name, task in trained(tasks).items() if task.config.weight > 0}
    lacking = [name for name, of in data.items() if not len(of.valid if of.divided is None else of.divided[1])]
    if not lacking:
        return []
    guessed = config.early_stopping is None and data[lacking[0]].divided is None
    then = "how long it trains is a guess" if guessed else "early stopping does not watch it"
    return [f"{', '.join(lacking)}: no validation rows: {then}; {_MEND}"]


def is_higher_better(metric: str | None) -> bool:
    """Of a 'task.metric'; None stands for the weighted validation loss."""
    return metric is not None and is_higher(metric.split(".", 1)[1])


def score(scores: Scores, tasks: Mapping[str, Task], metric: str | None) -> float:
    """One number, higher is better: the 'task.metric', or minus the validation losses weighted as in the recipe.

    The loss of a task whose rows have weights is its `weighted_loss`. An undefined metric is minus infinity.
    """
    if metric is not None:
        task, name = metric.split(".", 1)
        found = scores.get(task, {}).get(name)
        return float("-inf") if found is None else found * (1 if is_higher_better(metric) else -1)
    total = 0.0
    for task, values in scores.items():
        loss = tasks[task].loss
        plain = float(values[loss.metric] or 0) ** loss.power
        total -= tasks[task].config.weight * float(values.get("weighted_loss", plain) or 0)
    return total


def _measured(task: Task) -> list[str]:
    """The metrics that a task's validation rows are measured by, those of lists among them if it may have such."""
    of = measures_of(task, impressions=True)
    return [*of.predictions, *(name for name in (*of.places, *of.lists, *of.choice) if of.choice)]
