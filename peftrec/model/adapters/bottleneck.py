"""Bottleneck adapters: small two-layer networks at the sublayers of a transformer layer, one set an owner.

Placed after attention and feed-forward (Houlsby et al. 2019, arXiv:1902.00751) or after feed-forward only (Pfeiffer et
al. 2021, arXiv:2005.00247); reading the sublayer's output, or beside it its input (He et al. 2022, arXiv:2110.04366).
They are forward hooks on the sublayers' output projections, so how a projection's weights are held does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from peftrec.errors import UserError
from peftrec.machine.draws import drawn_for
from peftrec.model.adapters.base import (
    SHARED,
    LayerAdapter,
    Options,
    adapter_name,
    layers_inside,
    read_tensors,
    take_options,
    write_adapter,
)
from peftrec.model.backbone import Backbone
from peftrec.model.backbone.frozen import ADAPTER
from peftrec.recipe import AdapterConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


class BottleneckOptions(Options):
    """Where adapters stand and what they compute.

    placement         pfeiffer: after feed-forward; houlsby: after attention too
    mode              sequential: h + s f(h) for a sublayer's output h; parallel: h + s f(x) for its input x
    reduction_factor  the adapter's width is the backbone's divided by this; or give the width itself as `size`
    """

    placement: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    mode: Literal["sequential", "parallel"] = "sequential"
    reduction_factor: int = Field(16, ge=1)
    size: int | None = Field(None, ge=1)
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    scale: float = Field(1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_width(self) -> "BottleneckOptions":
        if self.size is not None and "reduction_factor" in self.model_fields_set:
            raise ValueError("give either size or reduction_factor")
        return self


class Bottleneck(nn.Module):
    """up(activation(down(x))), (..., D) -> (..., D) through width `size`. `up` starts at zero: no change at first."""

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.activation = ACTIVATIONS[activation]
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor) -> Tensor:
        """In the adapter's dtype, whatever the backbone's."""
        return self.up(self.activation(self.down(states.to(self.down.weight.dtype))))


@dataclass(frozen=True)
class Sublayer:
    """An attention or feed-forward sublayer: its first linear layer, which reads its input, and its last."""

    name: str
    first: nn.Module
    last: nn.Module


class BottleneckAdapter(LayerAdapter):
    """A bottleneck at every chosen sublayer for every owner; shared and private changes are summed.

    The sum is one bottleneck of both widths together, and that is what `save` writes.
    """

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        self.options = take_options("bottleneck", config.options, BottleneckOptions)
        layers = layers_inside(config, backbone)
        kinds = ("attention", "feedforward") if self.options.placement == "houlsby" else ("feedforward",)
        self._sites = [site for site in sublayers(backbone, layers) if site.name.endswith(kinds)]
        size = self.options.size or max(1, backbone.hidden_size // self.options.reduction_factor)
        self.parts = nn.ModuleDict()
        for owner in self.owners:
            with drawn_for(owner):
                self.parts[adapter_name(owner)] = nn.ModuleDict({s.name: self._bottleneck(size) for s in self._sites})
        self.lowest = layers[0] if backbone.layers is not None else 0
        self._active: list[str] = []
        self._inputs: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []

    def _bottleneck(self, size: int) -> Bottleneck:
        return Bottleneck(self.backbone.hidden_size, size, self.options.activation)

    def _keep_input(self, site: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # The first call in the sublayer: DeBERTa's projections are called again, on relative positions.
            self._inputs.setdefault(site, inputs[0])

        return hook

    def _add_change(self, site: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            source = self._inputs.pop(site) if self.options.mode == "parallel" else output
            change = sum(self._at(owner, site)(source) for owner in self._active)
            return output + (self.options.scale * change).to(output.dtype)

        return hook

    def _at(self, owner: str, site: str) -> Bottleneck:
        found: Any = self.parts[adapter_name(owner)]
        return found[site]

    def activate(self, task: str | None) -> None:
        """Hooks that compute the task's owners' bottlenecks stand in the model; None: none do."""
        for handle in self._hooks:
            handle.remove()
        self._hooks.clear()
        self._inputs.clear()  # recomputation stops in the middle of a layer
        if task is None:
            return
        self._active = self.owners_of(task)
        for site in self._sites:
            if self.options.mode == "parallel":
                self._hooks.append(site.first.register_forward_pre_hook(self._keep_input(site.name)))
            self._hooks.append(site.last.register_forward_hook(self._add_change(site.name)))

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """Weights and biases by sublayer."""
        return dict(self.parts[adapter_name(owner)].named_parameters())

    def save(self, task: str, folder: Path) -> None:
        """One bottleneck a sublayer: shared and private side by side, which computes their sum."""
        owners = [self.parameters_of(owner) for owner in self.owners_of(task)]
        tensors = {name: _side_by_side(name, [own[name].detach() for own in owners]) for name in owners[0]}
        described = {
            "peft_type": "PEFTREC_BOTTLENECK",
            "base_model_name_or_path": self.backbone.config.name,
            "layers": self.config.layers,
            **self.options.model_dump(exclude={"reduction_factor"}),
            "size": next(len(tensor) for name, tensor in tensors.items() if name.endswith("down.weight")),
        }
        write_adapter(folder, described, tensors)

    def load(self, owner: str, folder: Path) -> None:
        """Rebuild the owner's bottlenecks, as wide as the file's."""
        tensors = read_tensors(folder)
        size = next((t.shape[0] for name, t in tensors.items() if name.endswith("down.weight")), 1)
        sites: Any = self.parts[adapter_name(owner)]
        made = nn.ModuleDict({site: self._bottleneck(size) for site in sites}).to(self.backbone.device)
        held = read_tensors(folder, dict(made.named_parameters()))
        made.load_state_dict(held)
        self.parts[adapter_name(owner)] = made


def _side_by_side(name: str, tensors: list[Tensor]) -> Tensor:
    """Bottlenecks' tensors of one name as those of one bottleneck that computes their sum."""
    if name.endswith("up.bias"):
        return torch.stack(tensors).sum(0)
    return torch.cat(tensors, 1 if name.endswith("up.weight") else 0)


def sublayers(backbone: Backbone, layers: list[int]) -> list[Sublayer]:
    """The attention and feed-forward sublayers of the chosen layers, found by structure in every family.

    A layer is a module with a child whose class is called an attention. What is linear in that child belongs to the
    attention, the rest to the feed-forward sublayer; the last to be registered projects out. Raises UserError.
    """
    roots = [backbone.model] if backbone.layers is None else [backbone.layers[n] for n in layers]
    found: list[Sublayer] = []
    for number, root in enumerate(roots):
        blocks = list(_blocks(root))
        if not blocks:
            raise UserError(
                f"adapter.method: bottleneck finds no attention in {type(root).__name__}; use another method"
            )
        for repeat, (block, attention) in enumerate(blocks):
            name = f"{layers[number]}_" if len(blocks) == 1 else f"{layers[number]}_{repeat}_"
            inside = {id(module) for module in attention.modules()}
            linear = _linears(block)
            for kind, group in (
                ("attention", [m for m in linear if id(m) in inside]),
                ("feedforward", [m for m in linear if id(m) not in inside]),
            ):
                if not group or _outputs(group[-1]) != backbone.hidden_size:
                    raise UserError(
                        f"adapter.method: bottleneck finds no output projection of the {kind} sublayer in "
                        f"{type(block).__name__}; use another method"
                    )
                found.append(Sublayer(name + kind, group[0], group[-1]))
    return found


def _blocks(root: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """(transformer layer, its attention), outermost first, in order."""
    for child in root.children():
        if "attention" in type(child).__name__.lower():
            return [(root, child)]
    return [found for child in root.children() for found in _blocks(child)]


def _linears(block: nn.Module) -> list[nn.Module]:
    from transformers.pytorch_utils import Conv1D

    return [m for name, m in block.named_modules() if isinstance(m, nn.Linear | Conv1D) and ADAPTER not in name]


def _outputs(linear: Any) -> int:
    return int(linear.nf if hasattr(linear, "nf") else linear.out_features)
