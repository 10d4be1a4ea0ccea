"""One optimiser step: the gradient of the weighted sum of the task losses, piece by piece, and the update."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from peftrec.data.examples import Examples
from peftrec.machine import processes
from peftrec.machine.draws import seed_all
from peftrec.model.co_learner import CoLearner
from peftrec.training.culprits import find_culprits
from peftrec.training.memory import fitting, plan_together
from peftrec.training.optim import Cooldown, cooldown_steps, lr_factor, make_optimizer, set_learning_rates
from peftrec.training.order import Rows, RowStream, make_streams
from peftrec.training.prepare import Setup
from peftrec.training.sharding import clip, is_shard, shard, total_norm
from peftrec.training.weighting import Weighting, make_weighting, weigh


@dataclass(frozen=True)
class Steps:
    """What the optimiser steps of a training share.

    tasks      the trained tasks' training examples
    streams    the order of each one's rows
    per_epoch  steps of an epoch; `total` of the whole training at most
    main       steps before a cool-down that early stopping goes back to the best weights for
    plan       how a step fits into memory, as a line for the user
    """

    setup: Setup
    tasks: dict[str, Examples]
    streams: dict[str, RowStream]
    per_epoch: int
    total: int
    main: int
    plan: str
    weighting: Weighting
    trainable: dict[str, nn.Parameter]
    optimizer: AcceleratedOptimizer

    @property
    def rows(self) -> int:
        """How many rows all steps have, of all tasks."""
        return sum(stream.rows_until(self.total) for stream in self.streams.values())


@dataclass(frozen=True)
class Step:
    """A step as it went.

    losses, weights  of the tasks of `rows`, (T,); a task without rows has loss 0
    norms            see `gradient_norms`
    made             whether the optimiser took it; else it was left out
    problem          the loss or gradient that was not finite, and whose rows are to blame; None without
    """

    rows: Rows
    losses: Tensor
    weights: Tensor
    norms: dict[str, float]
    made: bool
    problem: str | None

    @property
    def count(self) -> int:
        """How many rows it had, of all tasks."""
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True)
class Piece:
    """Rows of a step that are made at once.

    examples  by task; tasks without rows in the piece are left out
    index     int64 (n,): which of the step's tasks these are
    share     float32 (n,): how much they are of the task's rows in the whole step
    """

    examples: dict[str, Examples]
    index: Tensor
    share: Tensor


def plan_steps(setup: Setup) -> Steps:
    """Choose how a step fits into memory, share the weights out where asked to, and make weighting and optimiser."""
    recipe, config, model = setup.recipe, setup.config, setup.model
    tasks = {name: setup.dataset.tasks[name].train for name in recipe.trained}
    streams, per_epoch, total = make_streams(recipe, config, setup.dataset)
    goes_back = config.schedule == "cooldown" and config.early_stopping is not None
    main = total - cooldown_steps(total) if goes_back else total
    begin = {name: stream.step(0) for name, stream in streams.items()}
    first = {name: of.drawn(config.seed, 0, begin[name]).take(begin[name]) for name, of in tasks.items()}
    plan = plan_together(model, first, config)
    shard(model)
    trainable = model.trainable()
    own = {name: task.train for name, task in recipe.trained.items() if task.train is not None}
    optimizer = setup.accelerator.prepare(make_optimizer(config, trainable, own))
    weighting = make_weighting(recipe.weighting, recipe)
    return Steps(setup, tasks, streams, per_epoch, total, main, plan, weighting, trainable, optimizer)


def steps_an_epoch(setup: Setup) -> int:
    """Of the training."""
    return make_streams(setup.recipe, setup.config, setup.dataset)[1]


def one_step(steps: Steps, number: int, cooldown: Cooldown | None = None) -> Step:
    """Make optimiser step `number`, from 0: a function of the weights, the optimiser's state, the number and where the
    cool-down began alone.

    A step whose loss or gradient is not finite is left out, as is one whose gradient overflows in fp16. Gradients are
    left cleared.
    """
    model, optimizer, accelerator = steps.setup.model, steps.optimizer, steps.setup.accelerator
    config = steps.setup.config
    model.train()
    seed_step(config.seed, number)
    set_learning_rates(optimizer, lr_factor(config, number, steps.total, cooldown))
    rows = {name: stream.step(number) for name, stream in steps.streams.items()}
    tasks = {name: of.drawn(config.seed, number, rows[name]) for name, of in steps.tasks.items()}
    losses, weights = joint_backward(model, tasks, rows, steps.weighting, accelerator)
    norms = gradient_norms(model, accelerator)
    made, problem = False, None
    if bool(torch.isfinite(losses).all()) and clip_gradients(steps.trainable, config.clip, accelerator):
        optimizer.step()
        made = not optimizer.step_was_skipped
    else:
        problem = find_culprits(model, tasks, rows)
    if not made:
        optimizer.zero_grad()  # what follows must not see such gradients
    model.encoder.after_step(number, steps.total)
    optimizer.zero_grad()
    return Step(rows, losses, weights, norms, made, problem)


def seed_step(seed: int, step: int) -> None:
    """Make dropout a function of (seed, step) alone, so that a resumed run repeats it; each process has its own."""
    seed_all(seed * 1_000_003 + step + (processes.number() << 40))


def joint_backward(
    model: CoLearner, tasks: dict[str, Examples], rows: Rows, weighting: Weighting, accelerator: Accelerator
) -> tuple[Tensor, Tensor]:
    """Set the gradient of sum_t weight_t * loss_t over the step's rows; returns the losses and weights (T,).

    The gradient is that of the whole batch, however the rows are cut (`pieces`). A task without rows in this step has
    loss 0 and no gradient. Where a loss is not finite the rest of the step is left out: neither gradients nor the
    weighting's state take it in. When memory runs out, the step is made again in twice as many parts, and so are those
    that follow.
    """
    joint = _Joint(model, tasks, rows, weighting, accelerator)
    losses = processes.add_up(fitting(model, rows, joint.backward))
    if torch.isfinite(losses).all():
        _add_up_gradients(model, accelerator.device)
    return losses, torch.ones(len(rows)) if joint.weights is None else joint.weights


def pieces(model: CoLearner, tasks: dict[str, Examples], rows: Rows) -> Iterator[Piece]:
    """This process's share of a step's rows, in `model.parts` pieces of which none is empty."""
    own = {task: np.array_split(of, processes.count())[processes.number()] for task, of in rows.items()}
    names, cuts = list(rows), {task: np.array_split(of, model.parts) for task, of in own.items()}
    for part in range(model.parts):
        cut = {task: of[part] for task, of in cuts.items()}
        some = {task: of for task, of in cut.items() if len(of)}
        if not some and model.encoder.sharded:  # the others need this process: rows that count for nothing
            some = {task: of[:1] for task, of in rows.items() if len(of)}
        if some:
            yield Piece(
                {task: tasks[task].take(of) for task, of in some.items()},
                torch.tensor([names.index(task) for task in some]),
                torch.tensor([len(cut[task]) / len(rows[task]) for task in some]),
            )


@dataclass
class _Joint:
    """The passes over a step's pieces. `weights` (T,) are set once, and stay when a pass is made again."""

    model: CoLearner
    tasks: dict[str, Examples]
    rows: Rows
    weighting: Weighting
    accelerator: Accelerator
    weights: Tensor | None = None

    def measure(self) -> Tensor:
        """This process's share of the losses (T,)."""
        losses = torch.zeros(len(self.rows))
        with torch.no_grad():
            for piece in pieces(self.model, self.tasks, self.rows):
                self._compute(piece, losses)
        return losses

    def backward(self) -> Tensor:
        """The same, and the gradient is accumulated."""
        if self.weights is None and self.weighting.needs == "losses" and self._in_pieces:
            own = self.measure()
            whole = processes.add_up(own)
            if not torch.isfinite(whole).all():
                return own
            self.weights = weigh(self.weighting, list(self.rows), whole)
            seed_all(torch.initial_seed())  # the same dropout again
        losses = torch.zeros(len(self.rows))
        for piece in pieces(self.model, self.tasks, self.rows):
            values = self._compute(piece, losses)
            if not torch.isfinite(losses).all() and not self.model.encoder.sharded:
                break
            if self.weights is None:
                self.weights = weigh(self.weighting, list(self.rows), losses)
            weights = self.weights[piece.index].to(values) * piece.share.to(values)
            self.accelerator.backward((weights * values).sum())
            self.model.vector_gradients.take()
        return losses

    @property
    def _in_pieces(self) -> bool:
        return processes.count() > 1 or self.model.parts > 1

    def _compute(self, piece: Piece, losses: Tensor) -> Tensor:
        """The piece's losses (n,), of which `losses` (T,) takes its share."""
        with self.accelerator.autocast():
            values = self.model.losses(piece.examples)
        losses[piece.index] += values.detach().cpu().float() * piece.share
        return values


def _add_up_gradients(model: CoLearner, device: torch.device) -> None:
    """Give every process the sum of the gradients, and of their products by task."""
    if processes.count() == 1:
        return
    processes.add_gradients([p for p in model.trainable().values() if not is_shard(p)])
    model.vector_gradients.add_up(device)


def gradient_norms(model: CoLearner, accelerator: Accelerator) -> dict[str, float]:
    """The norms of the step's gradient before clipping, by quantity and name.

    gradient_norm/<owner>        on the adapter's parameters of that owner: the shared part, or a task's private one
    vector_gradient_norm/<task>  on the text vectors, of that task's weighted loss alone: what it asks of the encoder
    vector_cosine/<task> with <task>  of what two ask, where they have texts in common; below 0 they conflict
    """
    norms = {
        f"gradient_norm/{owner}": total_norm([p.grad for p in of.values() if p.grad is not None])
        for owner, of in model.encoder.parameters_by_owner().items()
        if any(p.requires_grad for p in of.values())
    }
    products = model.vector_gradients.products
    own = {task: products[task, task].sqrt() for task in model.tasks if (task, task) in products}
    norms |= {f"vector_gradient_norm/{task}": norm for task, norm in own.items()}
    cosines = {
        f"vector_cosine/{one} with {other}": product / (own[one] * own[other])
        for (one, other), product in products.items()
        if one != other
    }
    if not norms:
        return {}
    scale = 1.0 if accelerator.scaler is None else accelerator.scaler.get_scale()
    values = torch.stack([*(norm.float() / scale for norm in norms.values()), *cosines.values()])
    found = dict(zip([*norms, *cosines], values.tolist(), strict=True))  # one transfer from a GPU
    return {name: value for name, value in found.items() if value == value}  # no cosine of a task that asks nothing


def clip_gradients(trainable: Mapping[str, nn.Parameter], most: float | None, accelerator: Accelerator) -> bool:
    """Clip the gradient's norm to `most` (None: leave it), each owner's apart: the shared part's, and each task's with
    its head's, so that one task's large gradient takes nothing from another's; false where one is not finite.

    `trainable` has names as of `CoLearner.trainable`. With fp16 mixed precision overflowing gradients are the scaler's
    business: it leaves the step out, scales less.
    """
    if most is not None:
        accelerator.unscale_gradients()
    owners: dict[str, list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        if parameter.grad is not None:
            owners.setdefault(name.split("/")[1], []).append(parameter)
    norms = [total_norm([p.grad for p in of if p.grad is not None]) for of in owners.values()]
    if most is not None:
        for of, norm in zip(owners.values(), norms, strict=True):
            clip(of, most, norm)
    return accelerator.scaler is not None or bool(torch.isfinite(torch.stack(norms)).all())
