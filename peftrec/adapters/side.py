"""The side network: a gated low-rank ladder beside the frozen backbone; gradients never pass through the backbone.

After Ladder Side-Tuning (Sung et al. 2022, arXiv:2206.06522) and IISAN (Fu et al. 2024, arXiv:2404.02059), over pooled
instead of token states, so that all the frozen backbone gives is a (V, L + 1, D) matrix computed once.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from peftrec.adapters.base import SHARED, PooledAdapter, adapter_name, chosen_layers, take_options
from peftrec.backbone import Backbone
from peftrec.recipe import AdapterConfig

DEFAULTS = {"rank": 64, "expansion": 2}


class Ladder(nn.Module):
    """One rung a layer: project down, mix, and add to what comes from below; at the end project up.

    h <- s(g_l) h + (1 - s(g_l)) W_l x_l;  h <- h + MLP_l(h);  out = x_L + U h.  U starts at zero, so the first output
    is the frozen backbone's own vector. The gates g are not here: they are private to tasks.
    """

    def __init__(self, width: int, rungs: int, rank: int, expansion: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rungs, width, rank))
        self.bias = nn.Parameter(torch.zeros(rungs, 1, rank))
        self.mix = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(rank), nn.Linear(rank, expansion * rank), nn.GELU(), nn.Linear(expansion * rank, rank)
            )
            for _ in range(rungs)
        )
        self.up = nn.Linear(rank, width)
        nn.init.uniform_(self.down, -(width**-0.5), width**-0.5)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor, gates: Tensor) -> Tensor:
        """States of the chosen layers (rungs, U, D) and gates (rungs,) -> vectors (U, D)."""
        low = torch.baddbmm(self.bias, states, self.down)  # (rungs, U, r): all down-projections in one call
        keep = torch.sigmoid(gates)
        h = torch.zeros_like(low[0])
        for rung, mix in enumerate(self.mix):
            h = keep[rung] * h + (1 - keep[rung]) * low[rung]
            h = h + mix(h)
        return states[-1] + self.up(h)


class SideAdapter(PooledAdapter):
    """`shared`: one ladder and gates for all tasks; `private`: a ladder and gates a task; `shared+private`:
    one ladder, gates a task. `layers` chooses the rungs (the embedding output comes with `all`)."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        self.options = take_options("side", config.options, DEFAULTS)
        numbers = [n + 1 for n in chosen_layers(config, backbone.num_layers)]
        # Index L is the model's output; it is what the ladder's correction is added to.
        self.rungs = sorted({*numbers, backbone.num_layers} | ({0} if config.layers == "all" else set()))
        with_ladder = tasks if config.sharing == "private" else [shared]
        with_gates = [shared] if config.sharing == "shared" else tasks
        self.ladders = nn.ModuleDict({adapter_name(owner): self._ladder() for owner in with_ladder})
        self.gates = nn.ParameterDict(
            {adapter_name(owner): nn.Parameter(torch.zeros(len(self.rungs))) for owner in with_gates}
        )

    def _ladder(self) -> Ladder:
        return Ladder(self.backbone.hidden_size, len(self.rungs), self.options["rank"], self.options["expansion"])

    def forward(self, states: Tensor, task: str) -> Tensor:
        """Pooled states of all layers (U, L + 1, D) -> the task's vectors (U, D)."""
        ladder, gates = self._parts(task)
        return ladder(states[:, self.rungs].transpose(0, 1).float(), gates)

    def _parts(self, task: str) -> tuple[Ladder, nn.Parameter]:
        shared, private = adapter_name(self.shared), adapter_name(task)
        ladder = self.ladders[shared if shared in self.ladders else private]
        assert isinstance(ladder, Ladder)
        return ladder, self.gates[shared if shared in self.gates else private]

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The ladder and gates that the owner has."""
        name = adapter_name(owner)
        found = dict(self.ladders[name].named_parameters()) if name in self.ladders else {}
        return found | ({"gates": self.gates[name]} if name in self.gates else {})

    def save(self, task: str, folder: Path) -> None:
        """Ladder and gates together, as one private side network."""
        ladder, gates = self._parts(task)
        tensors = {name: p.detach().cpu().contiguous() for name, p in ladder.named_parameters()}
        tensors["gates"] = gates.detach().cpu()
        described = {
            "peft_type": "PEFTREC_SIDE",
            "base_model_name_or_path": self.backbone.config.name,
            "layers": self.config.layers,
            **self.options,
        }
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(described, indent=2, sort_keys=True))

    def load(self, owner: str, folder: Path) -> None:
        """Fill the owner's ladder and gates."""
        tensors = load_file(folder / "adapter_model.safetensors")
        ladder, gates = self._parts(owner)
        with torch.no_grad():
            gates.copy_(tensors.pop("gates"))
        ladder.load_state_dict(tensors)
