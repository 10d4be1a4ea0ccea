"""What every method is: modules attached to one backbone for some tasks, in shared and private parts.

Two families. A `LayerAdapter` changes what the backbone's layers compute, so the layers from `lowest` up are run (and
back-propagated through) in every step. A `PooledAdapter` reads the frozen backbone's pooled states and never runs it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from peftrec.errors import UserError, nearest, shown
from peftrec.machine.tensors import misfit, write_tensors
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig

SHARED = "shared"
WEIGHTS = "adapter_model.safetensors"


def adapter_name(owner: str) -> str:
    """The name of an owner's modules. Owners hold no '__', so no name is a substring of another, and none is taken."""
    return f"peftrec__{owner}__"


def as_saved(config: AdapterConfig) -> AdapterConfig:
    """The configuration to load saved adapters with: files hold shared and private composed, so one part is all."""
    return config.model_copy(update={"sharing": "shared" if config.sharing == "shared" else "private"})


class Adapter(nn.Module, ABC):
    """One method attached for `tasks`. Its trainable parameters belong to owners: a shared part, or a task.

    lowest  the lowest layer whose computation it changes; L for methods that change none
    shared  the name of the shared part, unique among the methods of one encoder
    trains_backbone  whether it changes the backbone's own weights
    """

    trains_backbone = False

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__()
        self.config, self.tasks, self.shared = config, tasks, shared
        # The backbone is not a submodule: its weights are frozen, saved elsewhere, and stay in eval mode.
        self.__dict__["backbone"] = backbone
        self.lowest = backbone.num_layers

    backbone: Backbone

    @property
    def owners(self) -> list[str]:
        """Whose parameters there are: the shared part and/or each task, by the sharing mode."""
        shared = [self.shared] if "shared" in self.config.sharing else []
        private = self.tasks if "private" in self.config.sharing else []
        return shared + private

    def owners_of(self, task: str) -> list[str]:
        """The owners whose parameters take part in encoding for `task`."""
        return [owner for owner in self.owners if owner in (self.shared, task)]

    def encodes_alike(self, task: str) -> str:
        """Tasks with an equal key get equal vectors, so their texts are encoded once for all of them."""
        return self.shared if self.config.sharing == "shared" else task

    def penalty(self, task: str) -> Tensor | None:
        """A scalar added to the task's loss while training (AdaLoRA's orthogonality term); None: nothing to add."""
        return None

    def after_step(self, step: int, total: int) -> None:
        """Called after the optimiser's `step` of `total` (from 0), before the gradients are cleared."""

    @property
    def settled(self) -> bool:
        """Whether the weights may be chosen as a run's best; AdaLoRA's may not while it still prunes."""
        return True

    def extra_state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the parameters, such as AdaLoRA's importances."""
        return {}

    def load_extra_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `extra_state` gave."""

    @abstractmethod
    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The trainable parameters of one owner by name, whichever task is active now."""

    def part(self, owner: str) -> dict[str, nn.Parameter]:
        """The same under names that do not tell whose they are, as in a run's `parts/`."""
        return {
            name.replace(f".{adapter_name(owner)}", ""): parameter
            for name, parameter in self.parameters_of(owner).items()
        }

    def freeze(self, owner: str) -> None:
        """Train this part no more, and leave it without dropout."""
        for parameter in self.parameters_of(owner).values():
            parameter.requires_grad_(False)

    def is_frozen(self, owner: str) -> bool:
        """Whether `freeze` was called for the owner."""
        return not any(parameter.requires_grad for parameter in self.parameters_of(owner).values())

    @abstractmethod
    def save(self, task: str, folder: Path) -> None:
        """Write the task's complete adapter (shared and private composed) as adapter_config.json and safetensors."""

    @abstractmethod
    def load(self, owner: str, folder: Path) -> None:
        """Fill an owner's part from a folder that `save` wrote: a task's (sharing private) or the shared one."""


class LayerAdapter(Adapter):
    """A method inside the layers: `activate` chooses whose modules take part in the next forward."""

    @abstractmethod
    def activate(self, task: str | None) -> None:
        """Switch to `task`'s modules (with the shared ones); None: the plain backbone. Moves no weights."""

    def run(self, task: str, ids: Tensor, mask: Tensor, types: Tensor, states: Tensor | None, start: int) -> Tensor:
        """Hidden states (B, T, D) with `task`'s modules active, from token ids or from `states` entering `start`."""
        return self.backbone.run(ids, mask, types, states=states, start=start)


class PooledAdapter(Adapter):
    """A method beside the layers, reading pooled states."""

    @abstractmethod
    def forward(self, states: Tensor, task: str) -> Tensor:
        """Pooled states of all layers (U, L + 1, D) -> the task's vectors (U, D)."""

    @property
    def reads_alike(self) -> bool:
        """Whether something is computed of the states for all tasks alike, which `read` gives and `of_read` takes."""
        return False

    def read(self, states: Tensor) -> tuple[Tensor, ...]:
        """What is computed of the states (U, L + 1, D) for all tasks alike, tensors (U, ...)."""
        raise NotImplementedError

    def of_read(self, read: tuple[Tensor, ...], place: Tensor, task: str) -> Tensor:
        """The task's vectors (M, D) of the texts at `place` (M,) among those of which `read` is."""
        raise NotImplementedError


def chosen_layers(config: AdapterConfig, count: int) -> list[int]:
    """The layer numbers that `config.layers` means for a backbone of `count` layers. Raises UserError."""
    if config.layers == "all":
        return list(range(count))
    if isinstance(config.layers, str):
        top = int(config.layers.removeprefix("top-"))
        if top > count:
            raise UserError(f"adapter.layers: the backbone has {count} layers; found {config.layers}")
        return list(range(count - top, count))
    beyond = [n for n in config.layers if n >= count]
    if beyond:
        raise UserError(f"adapter.layers: the backbone has layers 0 to {count - 1}; found {beyond[0]}")
    return sorted(config.layers)


def layers_inside(config: AdapterConfig, backbone: Backbone) -> list[int]:
    """The layer numbers for a method inside the layers. Raises UserError also where all of them are one (ALBERT)."""
    if backbone.layers is None and config.layers != "all":
        raise UserError(
            f"adapter.layers: this backbone uses one layer {backbone.num_layers} times, so {config.method} changes all "
            f"of them: layers: all; found {config.layers}"
        )
    return chosen_layers(config, backbone.num_layers)


class Options(BaseModel):
    """The options of a method of our own: one field an option."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


T = TypeVar("T", bound=Options)


def take_options(method: str, given: dict[str, Any], known: type[T]) -> T:
    """The options `given` in a recipe as the method's own model. Raises UserError naming the option, rule and value."""
    try:
        return known(**given)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in ("adapter.options", *problem["loc"]))
        if problem["type"] == "extra_forbidden":
            hint = nearest(str(problem["loc"][0]), list(known.model_fields))
            raise UserError(f"{place}: {method} has no such option; {hint}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{place}: {message}; found {shown(problem['input'])}") from None


def read_tensors(folder: Path, expected: Mapping[str, Tensor] | None = None, file: str = WEIGHTS) -> dict[str, Tensor]:
    """The tensors of a folder that `save` wrote. Raises UserError where names or shapes differ from `expected`."""
    tensors = load_file(folder / file)
    if expected is not None:
        found, wanted = ({name: tuple(t.shape) for name, t in of.items()} for of in (tensors, expected))
        if problem := misfit(found, wanted, "file"):
            raise UserError(f"{folder}: its adapter does not fit: {problem}")
    return tensors


def write_adapter(folder: Path, described: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write adapter_config.json (see `write_config`) and adapter_model.safetensors into `folder`, made if need be."""
    write_config(folder, described)
    write_tensors(folder / WEIGHTS, tensors)


def write_config(folder: Path, described: dict[str, Any]) -> None:
    """Write adapter_config.json into `folder`, made if need be. `described` may hold sets and enumerations too."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(described, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value.value
