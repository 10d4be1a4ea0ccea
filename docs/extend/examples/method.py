"""A method of one's own: every layer's pooled state has a say, after ELMo's mix of layers (Peters et al. 2018)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from peftrec.model.adapters.base import (
    SHARED,
    Options,
    PooledAdapter,
    adapter_name,
    read_tensors,
    take_options,
    write_adapter,
)
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig


class LayerMixOptions(Options):
    """scale: what the mix is multiplied with; an option that is not here is refused by name."""

    scale: float = 1.0


class LayerMix(PooledAdapter):
    """The last layer's vector plus a weighted sum of all layers', one weight a layer and dimension, from zero.

    Shared and private weights add up. Reading pooled states, it never runs the backbone in a training step.
    """

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        self.options = take_options("layer mix", config.options, LayerMixOptions)
        shape = (backbone.num_layers + 1, backbone.hidden_size)  # the embedding's output comes first
        self.weights = nn.ParameterDict({adapter_name(o): nn.Parameter(torch.zeros(shape)) for o in self.owners})

    def forward(self, states: Tensor, task: str) -> Tensor:
        """Pooled states of all layers (U, L + 1, D) -> the task's vectors (U, D)."""
        states = states.float()
        return states[:, -1] + self.options.scale * (states * self._composed(task)).mean(1)

    def _composed(self, task: str) -> Tensor:
        return torch.stack([self.weights[adapter_name(owner)] for owner in self.owners_of(task)]).sum(0)

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The owner's weights."""
        return {"weights": self.weights[adapter_name(owner)]}

    def save(self, task: str, folder: Path) -> None:
        """Shared and private composed, as one part."""
        described = {"peft_type": "PEFTREC_LAYER_MIX", "base_model_name_or_path": self.backbone.config.name}
        write_adapter(folder, {**described, **self.options.model_dump()}, {"weights": self._composed(task)})

    def load(self, owner: str, folder: Path) -> None:
        """Fill the owner's weights from a folder that `save` wrote."""
        mine = self.parameters_of(owner)
        with torch.no_grad():
            mine["weights"].copy_(read_tensors(folder, dict(mine))["weights"])
