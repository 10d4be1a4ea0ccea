"""The side network: a gated low-rank ladder beside the frozen backbone; gradients never pass through the backbone.

After Ladder Side-Tuning (Sung et al. 2022, arXiv:2206.06522) and IISAN (Fu et al. 2024, arXiv:2404.02059), over pooled
instead of token states, so that all the frozen backbone gives is a (V, L + 1, D) matrix computed once.
"""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.machine.draws import drawn_for
from peftrec.model.adapters.base import (
    SHARED,
    Options,
    PooledAdapter,
    adapter_name,
    chosen_layers,
    read_tensors,
    take_options,
    write_adapter,
)
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig
from peftrec.tasks.gather import gather


class SideOptions(Options):
    """rank: width of the ladder; depth: mixing networks a rung; expansion: their hidden width as a multiple of rank."""

    rank: int = Field(64, ge=1)
    depth: int = Field(1, ge=1, le=100)
    expansion: int = Field(2, ge=1)


class Ladder(nn.Module):
    """One rung a layer: project down, mix, and add to what comes from below; at the end project up.

    h <- s(g_l) h + (1 - s(g_l)) W_l norm(x_l);  h <- h + MLP_l(h), `depth` times;  out = x_L + U h.  U starts at zero,
    so the first output is the frozen backbone's own vector. The gates g are not here: they are private to tasks.
    """

    def __init__(self, width: int, rungs: int, options: SideOptions) -> None:
        super().__init__()
        rank, hidden = options.rank, options.rank * options.expansion
        self.depth = options.depth
        self.down = nn.Parameter(torch.empty(rungs, width, rank))
        self.bias = nn.Parameter(torch.zeros(rungs, 1, rank))
        self.mix = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(rank), nn.Linear(rank, hidden), nn.GELU(), nn.Linear(hidden, rank))
            for _ in range(rungs * options.depth)
        )
        self.up = nn.Linear(rank, width)
        nn.init.uniform_(self.down, -(width**-0.5), width**-0.5)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor, gates: Tensor) -> Tensor:
        """States of the chosen layers (U, rungs, D) and gates (rungs,) -> vectors (U, D)."""
        return self.climb(self.read(states), states[:, -1], gates)

    def read(self, states: Tensor) -> Tensor:
        """What the rungs read of the states (U, rungs, D), whatever the gates: (rungs, U, r)."""
        # Residual streams (Llama, GPT-2) grow by orders of magnitude from layer to layer, so rungs see them normalised.
        level = F.layer_norm(states, states.shape[-1:])
        # All down-projections in one call. 0.3: the size of MiniLM's own states.
        return torch.baddbmm(self.bias, level.transpose(0, 1), 0.3 * self.down)

    def climb(self, low: Tensor, last: Tensor, gates: Tensor) -> Tensor:
        """What was read (rungs, U, r), the model's output (U, D) and gates (rungs,) -> vectors (U, D)."""
        keep = torch.sigmoid(gates)
        h = torch.zeros_like(low[0])
        for number, mix in enumerate(self.mix):
            rung, repeat = divmod(number, self.depth)
            if repeat == 0:
                h = keep[rung] * h + (1 - keep[rung]) * low[rung]
            h = h + mix(h)
        return last + self.up(h)


class SideAdapter(PooledAdapter):
    """`shared`: one ladder and gates for all tasks; `private`: a ladder and gates a task; `shared+private`:
    one ladder, gates a task. `layers` chooses the rungs (the embedding output comes with `all`)."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        self.options = take_options("side", config.options, SideOptions)
        numbers = [n + 1 for n in chosen_layers(config, backbone.num_layers)]
        # Index L is the model's output; it is what the ladder's correction is added to.
        self.rungs = sorted({*numbers, backbone.num_layers} | ({0} if config.layers == "all" else set()))
        with_ladder = tasks if config.sharing == "private" else [shared]
        with_gates = [shared] if config.sharing == "shared" else tasks
        self.ladders = nn.ModuleDict()
        for owner in with_ladder:
            with drawn_for(owner):
                ladder = Ladder(backbone.hidden_size, len(self.rungs), self.options)
            self.ladders[adapter_name(owner)] = ladder
        self.gates = nn.ParameterDict(
            {adapter_name(owner): nn.Parameter(torch.zeros(len(self.rungs))) for owner in with_gates}
        )

    def forward(self, states: Tensor, task: str) -> Tensor:
        """Pooled states of all layers (U, L + 1, D) -> the task's vectors (U, D)."""
        ladder, gates = self._parts(task)
        vectors: Tensor = ladder(self._of_rungs(states), gates)
        return vectors

    @property
    def reads_alike(self) -> bool:
        """Whether there is one ladder for all tasks."""
        return adapter_name(self.shared) in self.ladders

    def read(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """What the rungs of the one ladder read, (U, rungs * r), and the model's output (U, D)."""
        ladder: Any = self.ladders[adapter_name(self.shared)]
        states = self._of_rungs(states)
        return ladder.read(states).transpose(0, 1).flatten(1), states[:, -1]

    def of_read(self, read: tuple[Tensor, ...], place: Tensor, task: str) -> Tensor:
        """The vectors (M, D) of the texts at `place` (M,)."""
        ladder, gates = self._parts(task)
        low, last = (gather(of, place) for of in read)
        vectors: Tensor = ladder.climb(low.unflatten(1, (len(self.rungs), -1)).transpose(0, 1), last, gates)
        return vectors

    def _of_rungs(self, states: Tensor) -> Tensor:
        """Those of the chosen layers, float32 (U, rungs, D)."""
        return (states if len(self.rungs) == states.shape[1] else states[:, self.rungs]).float()

    def _parts(self, task: str) -> tuple[Ladder, nn.Parameter]:
        shared, private = adapter_name(self.shared), adapter_name(task)
        ladder: Any = self.ladders[shared if shared in self.ladders else private]
        return ladder, self.gates[shared if shared in self.gates else private]

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The ladder and gates that the owner has."""
        name = adapter_name(owner)
        found = dict(self.ladders[name].named_parameters()) if name in self.ladders else {}
        return found | ({"gates": self.gates[name]} if name in self.gates else {})

    def save(self, task: str, folder: Path) -> None:
        """Ladder and gates together, as one private side network."""
        described = {
            "peft_type": "PEFTREC_SIDE",
            "base_model_name_or_path": self.backbone.config.name,
            "layers": self.config.layers,
            **self.options.model_dump(),
        }
        write_adapter(folder, described, dict(self._tensors(task)))

    def load(self, owner: str, folder: Path) -> None:
        """Fill the owner's ladder and gates."""
        held = self._tensors(owner)
        with torch.no_grad():
            for name, tensor in read_tensors(folder, dict(held)).items():
                held[name].copy_(tensor)

    def _tensors(self, task: str) -> dict[str, nn.Parameter]:
        ladder, gates = self._parts(task)
        return {**dict(ladder.named_parameters()), "gates": gates}
