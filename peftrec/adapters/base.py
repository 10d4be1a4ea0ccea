"""What every method is: modules attached to one backbone for some tasks, in shared and private parts.

Two families. A `LayerAdapter` changes what the backbone's layers compute, so the layers from `lowest` up are run (and
back-propagated through) in every step. A `PooledAdapter` reads the frozen backbone's pooled states and never runs it.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from peftrec.backbone import Backbone
from peftrec.recipe import AdapterConfig, UserError

SHARED = "shared"


def adapter_name(owner: str) -> str:
    """The name of an owner's modules. Owners hold no '__', so no name is a substring of another, and none is taken."""
    return f"peftrec__{owner}__"


class Adapter(nn.Module, ABC):
    """One method attached for `tasks`. Its trainable parameters belong to owners: a shared part, or a task.

    lowest  the lowest layer whose computation it changes; L for methods that change none
    shared  the name of the shared part, unique among the methods of one encoder
    """

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
        has_shared, has_private = "shared" in self.config.sharing, "private" in self.config.sharing
        return [self.shared] * has_shared + self.tasks * has_private

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

    def extra_state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the parameters, such as AdaLoRA's importances."""
        return {}

    def load_extra_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `extra_state` gave."""

    @abstractmethod
    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The trainable parameters of one owner by name, whichever task is active now."""

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


def take_options(method: str, given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`defaults` overlaid with `given`, for methods of our own; an unknown option is an error naming the nearest."""
    from peftrec.recipe import nearest

    for name, value in given.items():
        if name not in defaults:
            raise UserError(f"adapter.options.{name}: {method} has no such option; {nearest(name, list(defaults))}")
        kind = type(defaults[name])
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise UserError(f"adapter.options.{name}: must be of type {kind.__name__}; found {value!r}")
    return {**defaults, **given}
