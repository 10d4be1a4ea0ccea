"""Short trainings, all from one beginning: some tasks on few rows for few steps, looked at on the way."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.errors import UserError
from peftrec.recipe import OwnTrainConfig
from peftrec.training.defaults import settled
from peftrec.training.order import make_streams
from peftrec.training.prepare import Setup
from peftrec.training.starts import begin
from peftrec.training.step import Steps, one_step, plan_steps
from peftrec.training.weighting import make_weighting

LOOKS = 8

Tasks = tuple[str, ...]


def thin(setup: Setup, rows: int) -> None:
    """Leave every task so many rows to train on and as many to validate on, at most; the batch is chosen for these,
    and all learning rates go with the square root of it (`training.defaults`)."""
    data = {name: _thinned(of, rows) for name, of in setup.dataset.tasks.items()}
    setup.dataset = replace(setup.dataset, tasks=data)
    recipe, config = setup.recipe, setup.config
    free = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": None})})
    batch = min(config.batch_size, settled(free, setup.dataset).batch_size)
    times = math.sqrt(batch / config.batch_size)
    rates = {"batch_size": batch, "lr": times * config.lr, "head_lr": times * config.head_lr}
    setup.config = config.model_copy(update=rates)
    tasks = {name: task.model_copy(update={"train": _slower(task.train, times)}) for name, task in recipe.tasks.items()}
    setup.recipe = recipe.model_copy(update={"tasks": tasks})


def _slower(own: OwnTrainConfig | None, times: float) -> OwnTrainConfig | None:
    """A task's own rates, times so much."""
    if own is None:
        return None
    rates = {name: rate and times * rate for name, rate in (("lr", own.lr), ("head_lr", own.head_lr))}
    return own.model_copy(update=rates)


def _thinned(data: TaskData, rows: int) -> TaskData:
    return replace(data, train=data.train.thinned(rows), valid=data.valid.thinned(rows), fitted={})


@dataclass(frozen=True)
class Beginning:
    """Some of the tasks as they begin where the others are not there.

    train, valid  their rows, which know what the tasks' starts say of them
    weights       all that is trained, by name
    """

    train: dict[str, Examples]
    valid: dict[str, Examples]
    weights: dict[str, Tensor]


class Short:
    """Trains some of the tasks of a prepared setup for `length` steps, again and again from the same weights.

    A step has the rows that the tasks have in a step of all, so that a task sees the same ones alone as in company. The
    learning rates rise and fall within the `length`.
    """

    def __init__(self, setup: Setup, length: int) -> None:
        self.setup, self.length = setup, length
        self.steps = plan_steps(setup)
        self._first = self._weights()

    def beginning(self, some: Tasks) -> Beginning:
        """Some of the trained tasks, and what heads begin at without the others: what these are learnt from may be
        most of what they help by (`other_tasks`)."""
        self._restore(self._first)
        setup = self.setup
        there = [name for name in setup.dataset.tasks if name in some or name not in self.steps.tasks]
        alone = replace(
            setup,
            tasks={name: setup.tasks[name] for name in there},
            dataset=replace(setup.dataset, tasks={name: setup.dataset.tasks[name] for name in there}),
            starts={name: start for name, start in setup.starts.items() if name in there},
            began={},
        )
        begin(alone)
        data = {name: alone.dataset.tasks[name] for name in some}
        train, valid = ({name: of.split(split) for name, of in data.items()} for split in ("train", "valid"))
        return Beginning(train, valid, self._weights())

    def restart(self, begun: Beginning) -> None:
        """Have the weights that tasks begin at."""
        self._restore(begun.weights)

    def train(self, begun: Beginning, draw: int, look: Callable[[], None]) -> None:
        """Train tasks from their beginning, with the order of rows and the dropout of so many draws after the recipe's
        seed; `look` is called before the first step and LOOKS times evenly from then on, the last after the last
        step."""
        self.restart(begun)
        steps, when = self._of(begun, draw), {number * self.length // LOOKS for number in range(LOOKS)}
        for number in range(self.length):
            if number in when:
                look()
            one_step(steps, number)
        look()

    def _of(self, begun: Beginning, draw: int) -> Steps:
        setup = self.setup
        config = setup.config.model_copy(update={"seed": setup.config.seed + draw})
        streams, _, _ = make_streams(setup.recipe, config, setup.dataset)
        some = setup.recipe.model_copy(update={"tasks": {name: setup.recipe.tasks[name] for name in begun.train}})
        return replace(
            self.steps,
            setup=replace(setup, config=config),
            tasks=begun.train,
            streams={name: streams[name] for name in begun.train},
            total=self.length,
            main=self.length,
            weighting=make_weighting(some.weighting, some),
        )

    def _weights(self) -> dict[str, Tensor]:
        """What all that is trained is now."""
        return {name: p.detach().clone() for name, p in self.steps.trainable.items()}

    @torch.no_grad()
    def _restore(self, weights: dict[str, Tensor]) -> None:
        """Have these weights, as if nothing had been trained."""
        for name, parameter in self.steps.trainable.items():
            parameter.copy_(weights[name])
        self.steps.optimizer.state.clear()
        for adapter in self.setup.model.encoder.methods:  # importances of AdaLoRA: nothing is known of any yet
            adapter.load_extra_state({name: torch.zeros_like(of) for name, of in adapter.extra_state().items()})


@dataclass(frozen=True)
class Rows:
    """Rows of a task that a loss is taken of, as a step has them."""

    task: str
    examples: Examples

    def loss(self, setup: Setup) -> Tensor:
        """Their mean loss as training computes it, without dropout."""
        setup.model.eval()
        with setup.accelerator.autocast():
            return setup.model.losses({self.task: self.examples})[0].float()


def rows_of(task: str, examples: Examples, index: np.ndarray, seed: int) -> Rows:
    """Some rows of a task, with candidates that the seed draws where it ranks a catalogue."""
    return Rows(task, examples.drawn(seed, 0, index).take(index))


def parts_of(examples: Examples, parts: int, seed: int) -> list[np.ndarray]:
    """The rows in so many parts of whole groups (users, queries), drawn by the seed; of fewer groups some are empty."""
    names, place = np.unique(np.asarray(examples.group), return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(names)) % parts
    return [np.flatnonzero(part[place] == number) for number in range(parts)]


def valid_parts(setup: Setup, task: str, parts: int) -> list[np.ndarray]:
    """The task's validation rows in as many parts. Raises UserError where there are fewer groups."""
    valid = setup.dataset.tasks[task].valid
    found = parts_of(valid, parts, setup.config.seed)
    if not all(map(len, found)):
        raise UserError(
            f"affinity: each of its {parts} rounds takes validation rows of its own, and {task} has "
            f"{len(np.unique(np.asarray(valid.group)))} that can be parted (rows of one user or query stay together): "
            "raise data.split.valid, or lower --rounds"
        )
    return found


def shared_by(setup: Setup, tasks: Iterable[str]) -> list[nn.Parameter]:
    """The trained parameters that every one of the tasks reads: shared parts of adapter and fusion."""
    model, owners = setup.model, list[set[str]]()
    for task in tasks:
        read = {f"adapter/{owner}" for owner in model.encoder.adapter_of(task).owners_of(task)}
        if model.fusion.part_of(task) is not None:
            read.add(f"fusion/{model.fusion.owners[task]}")
        owners.append(read)
    common = set.intersection(*owners)
    return [p for name, p in model.trainable().items() if name.rsplit("/", name.count("/") - 1)[0] in common]
