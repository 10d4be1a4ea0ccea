"""All that changes while training, into a checkpoint and back. Dropout needs nothing: each step seeds its own."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from peftrec.data.batches import Work
from peftrec.errors import UserError
from peftrec.machine.tensors import misfit
from peftrec.model.co_learner import CoLearner
from peftrec.runs.checkpoints import Tensors
from peftrec.training.optim import Cooldown
from peftrec.training.sharding import share
from peftrec.training.stopping import BestEpoch
from peftrec.training.weighting import Weighting


@dataclass(frozen=True)
class Refit:
    """The second training of `train.refit`: it begins after `first` steps of the first, and has `main` epochs before
    the `cooldown` epochs in which its learning rates fall to 0.

    own  task -> after how many epochs its own parts are what it keeps, where that is before the end
    """

    first: int
    main: float
    cooldown: float
    own: dict[str, float] = field(default_factory=dict)

    @property
    def epochs(self) -> float:
        """Of the whole of it."""
        return self.main + self.cooldown


@dataclass
class Progress:
    """Where the loop stands.

    step      optimiser steps done, of the second training too
    examples  rows trained on
    skipped   steps left out because a loss or gradient was not finite
    seconds   spent in the loop, in all sessions
    means     since the last line of metrics.jsonl: quantity -> its sum, and over how much
    history   the lines of metrics.jsonl
    trackers  tracker -> what it calls this training, to go on in the same log
    cooldown  the last stretch, once it has begun; its steps are `own`
    kept      after how many steps the weights were what they are at the end
    own_kept  task -> the same of its own parts, where that is another step
    refit     the second training, once it has begun
    shares    of what each task learned, what it keeps, once training has ended; see `training.shrinking`
    """

    step: int = 0
    examples: int = 0
    skipped: int = 0
    seconds: float = 0.0
    means: dict[str, list[float]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    trackers: dict[str, str] = field(default_factory=dict)
    cooldown: Cooldown | None = None
    kept: int = 0
    own_kept: dict[str, int] = field(default_factory=dict)
    refit: Refit | None = None
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> int:
        """Steps done of the training that is going on; the schedule and the order of rows follow from it."""
        return self.step - (0 if self.refit is None else self.refit.first)

    def add(self, quantity: str, value: float, over: float = 1) -> None:
        """Take `value` into the quantity's mean since the last line."""
        total, count = self.means.get(quantity, (0.0, 0.0))
        self.means[quantity] = [total + value, count + over]

    def mean(self, quantity: str) -> float | None:
        """The quantity's mean since the last line; None where there is none yet."""
        total, count = self.means.get(quantity, (0.0, 0.0))
        return total / count if count else None


def read_progress(values: dict[str, Any]) -> Progress:
    """The progress in what `TrainingState.values` gave."""
    kept = dict(values["progress"])
    for name, of in (("cooldown", Cooldown), ("refit", Refit)):
        kept[name] = None if kept[name] is None else of(**kept[name])
    return Progress(**kept)


@dataclass
class TrainingState:
    """Everything a resumed run needs to go on as if nothing had happened."""

    model: CoLearner
    optimizer: torch.optim.Optimizer
    weighting: Weighting
    stopper: BestEpoch
    progress: Progress
    scaler: Any  # the gradient scaler of fp16 mixed precision, or None

    def tensors(self) -> Tensors:
        """The tensors of a checkpoint: by file, without its ending, then by name. Nothing is copied."""
        files: Tensors = {f"adapters/{o}": dict(of) for o, of in self.model.encoder.parameters_by_owner().items()}
        files |= {f"heads/{task}": dict(self.model.head(task).state_dict()) for task in self.model.tasks}
        files["fusion"] = dict(self.model.fusion.named())
        names = self._names()
        files["optimizer"] = {
            f"{what}/{names[number]}": value
            for number, of in self.optimizer.state_dict()["state"].items()
            for what, value in of.items()
            if isinstance(value, Tensor)
        }
        files["allocators"] = {
            f"{number}/{name}": tensor
            for number, adapter in enumerate(self.model.encoder.methods)
            for name, tensor in adapter.extra_state().items()
        }
        files["weighting"] = dict(self.weighting.state_dict())
        files |= self.stopper.tensors()
        return {file: held for file, held in files.items() if held}

    def values(self) -> dict[str, Any]:
        """What is no tensor, as plain values."""
        encoder = self.model.encoder
        return {
            "progress": asdict(self.progress),
            "stopper": self.stopper.state(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "work": asdict(encoder.work),
            # How the batch is cut into buckets and parts changes sums in their last bits, and dropout.
            "memory": {
                "recompute": encoder.recompute,
                "token_budget": encoder.token_budget,
                "parts": self.model.parts,
            },
        }

    def load(self, tensors: Tensors, values: dict[str, Any], same: bool = True) -> None:
        """Put back what `tensors` and `values` gave. Raises UserError where they do not fit this model.

        `same`: the recipe is the same too, so that its memory plan holds.
        """
        own = self.tensors()
        for file in sorted(
            {f for f in tensors.keys() | own.keys() if f.startswith(("adapters/", "heads/", "fusion", "weight"))}
        ):
            _fill(file, own.get(file, {}), tensors.get(file, {}))
        self._load_optimizer(tensors.get("optimizer", {}))
        for number, adapter in enumerate(self.model.encoder.methods):
            extra = {
                k.split("/", 1)[1]: t for k, t in tensors.get("allocators", {}).items() if k.startswith(f"{number}/")
            }
            adapter.load_extra_state(extra)
        trainable = self.model.trainable()
        best = {
            file: {name: share(tensor, trainable[name]) for name, tensor in tensors.get(file, {}).items()}
            for file in self.stopper.tensors()
        }
        self.stopper.load_state(values["stopper"], best)
        read = read_progress(values)
        for item in fields(Progress):
            setattr(self.progress, item.name, getattr(read, item.name))
        if self.scaler is not None and values["scaler"] is not None:
            self.scaler.load_state_dict(values["scaler"])
        encoder = self.model.encoder
        encoder.work = Work(**values["work"])
        if same:
            memory = values["memory"]
            encoder.recompute, encoder.token_budget = memory["recompute"], memory["token_budget"]
            self.model.parts = memory["parts"]

    def _names(self) -> list[str]:
        """The parameters' names in the order in which the optimiser numbers them."""
        named = {id(p): name for name, p in self.model.trainable().items()}
        return [named[id(p)] for group in self.optimizer.param_groups for p in group["params"]]

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        numbers, trainable = {name: number for number, name in enumerate(self._names())}, self.model.trainable()
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            what, name = key.split("/", 1)
            if name not in numbers:
                raise UserError(f"the checkpoint does not fit: its optimiser has {name}, the model has not")
            state.setdefault(numbers[name], {})[what] = share(tensor, trainable[name])
        # The learning rates that come with the groups are set anew in every step.
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


@torch.no_grad()
def _fill(file: str, into: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    found, wanted = ({name: (tuple(t.shape), t.dtype) for name, t in of.items()} for of in (tensors, into))
    if problem := misfit(found, wanted, "checkpoint"):
        raise UserError(f"the checkpoint does not fit: {file}: {problem}")
    for name, tensor in tensors.items():
        into[name].copy_(share(tensor, into[name]))
