"""How much of what each task learned is kept beside its start: all, a part or nothing, as its validation rows say.

Tasks are stopped together, though each is best at another step, and what was learned from few rows is partly noise. A
head's raw output is what its start says plus what it learned, and the latter is scaled by one number a task
(shrinkage, Copas 1983): that whose validation loss is surely furthest below the start's, by the difference less one
standard error of it, or of numbers two (`training.doubt`), so that the less the rows tell the less is kept; 0 where no
difference is that large. Of an item of a catalogue it is 1 - nDCG@10 that stands for the loss: the whole catalogue's
likelihood may gain by what stands far down, while the lists that a user sees grow worse.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.evaluation.intervals import draws
from peftrec.evaluation.metric import Statistic
from peftrec.evaluation.outcomes import Outcome
from peftrec.machine import processes
from peftrec.machine.progress import note
from peftrec.tasks.kind import Task
from peftrec.training.doubt import errors_of, judged
from peftrec.training.prepare import Setup
from peftrec.training.sharding import whole
from peftrec.training.stopping import SHARES

RESAMPLES = 200
LISTED = "ndcg@10"

Weights = dict[str, list[Tensor]]  # task -> its head's outer parameters


def outer_weights(setup: Setup) -> Weights:
    """The outer parameters, as they are now, of the trained heads that have a start."""
    heads = {name: setup.model.head(name) for name in setup.trained if setup.began_at(name) is not None}
    return {name: [p.detach().clone() for p in head.outer()] for name, head in heads.items()}


def shrink(setup: Setup, first: Weights, known: Mapping[str, float]) -> dict[str, float]:
    """Keep of what each task has learned, since its outer parameters were `first`, the share that is best on
    validation, or the one that is `known` of an earlier training; returns the shares. Without either all is kept."""
    last = outer_weights(setup)
    tasks = {name: setup.tasks[name] for name in first if len(setup.dataset.tasks[name].valid)}

    def chosen() -> dict[str, float]:
        rows, found = text_rows(setup.dataset, tasks, ["valid"], ranking=False), {}
        for name, task in tasks.items():
            # Heads change here and the encoder does not: each text is encoded once for all shares.
            with setup.model.encoder.with_vectors(name, setup.model.encoded(name, rows[name])):
                losses = []
                for share in SHARES:
                    _keep(setup, {name: share}, first, last)
                    losses.append(_loss(setup, name, task))
            found[name] = _best(losses, errors_of(task.loss))
        return found

    with whole(setup.model):
        shares = dict(known) or processes.on_first(chosen)
    _keep(setup, shares, first, last)
    for name, share in shares.items():
        if share < 1:
            note(f"{name}: {share:.0%} of what was learned is kept, by the validation rows")
    return shares


@torch.no_grad()
def _keep(setup: Setup, shares: Mapping[str, float], first: Weights, last: Weights) -> None:
    """Set each task's outer parameters between `first` (share 0) and `last` (share 1)."""
    for name, share in shares.items():
        for parameter, begin, end in zip(setup.model.head(name).outer(), first[name], last[name], strict=True):
            parameter.copy_(torch.lerp(begin, end, share))


@dataclass(frozen=True)
class _Loss:
    """A task's loss as a function of how often each row is counted (N,), and what of the rows belongs together (N,)."""

    of: Statistic
    cluster: np.ndarray


def _loss(setup: Setup, name: str, task: Task) -> _Loss:
    outcomes: dict[str, Outcome] = {}
    evaluate(setup.model, setup.dataset, {name: task}, "valid", resamples=0, priors=False, outcomes=outcomes)
    rows = outcomes[name]
    weight = np.ones(len(rows.label)) if rows.weight is None else rows.weight.astype(np.float64)
    if task.loss.labels == "choice":
        shown = of_places(LISTED)
        assert shown is not None and rows.rank is not None
        gain = shown.statistic(rows.rank, rows.label, rows.lists)
        return _Loss(lambda counts: 1 - gain(counts * weight), rows.group)
    loss = judged(task.loss, rows.prediction, rows.label, rows.grouped)
    return _Loss(lambda counts: loss(counts * weight), rows.group)


def _best(found: list[_Loss], errors: float) -> float:
    """The share whose loss is furthest below the start's by more than so many standard errors; 0 where none is."""
    cluster = found[0].cluster
    losses = np.array([loss.of(np.ones(len(cluster))) for loss in found])
    if not np.isfinite(losses).all():  # rows that all weigh nothing say nothing
        return 1.0
    drawn = np.array([[loss.of(counts) for loss in found] for counts in draws(cluster, RESAMPLES, seed=0)])
    sure = losses[0] - losses - errors * np.nanstd(drawn[:, :1] - drawn, axis=0)
    return SHARES[int(sure.argmax())]  # of the start itself it is 0
