"""How several adapters of one PEFT type, active together, become one plain adapter that computes the same."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftrec.errors import UserError

# Tensors under the names that a PEFT file has, and by module path what the module multiplies its adapter's output by.
State = dict[str, Tensor]
Part = tuple[State, dict[str, float]]

_PREFIX = "base_model.model."


def compose_lora(parts: list[Part]) -> tuple[State, dict[str, Any]]:
    """LoRAs as one: A stacked, scale x B side by side, biases of B added; rank the sum, alpha = rank, so scale 1.

    Parts may lack modules. Returns the tensors and the configuration entries that go with them.
    """
    state: State = {}
    ranks: dict[str, int] = {}
    for key in dict.fromkeys(key for tensors, _ in parts for key in tensors):
        path = key.removeprefix(_PREFIX).split(".lora_")[0]
        held = [(tensors[key], scales[path]) for tensors, scales in parts if key in tensors]
        if key.endswith(".lora_A.weight"):
            state[key] = torch.cat([tensor for tensor, _ in held], 0)
            ranks[path] = state[key].shape[0]
        elif key.endswith(".lora_B.weight"):
            state[key] = torch.cat([tensor * scale for tensor, scale in held], 1)
        elif key.endswith(".lora_B.bias"):
            state[key] = torch.stack([tensor * scale for tensor, scale in held]).sum(0)
        else:
            raise UserError(
                f"adapter.sharing: this adapter has {key.split('.')[-1]}, which cannot be composed of a shared and a "
                "private part; choose sharing: shared or private"
            )
    rank = max(ranks.values())
    pattern = {path: r for path, r in ranks.items() if r != rank}
    changes = {"r": rank, "lora_alpha": rank, "rank_pattern": pattern, "alpha_pattern": pattern}
    return state, {**changes, "use_rslora": False, "init_lora_weights": True}


def compose_ia3(parts: list[Part]) -> tuple[State, dict[str, Any]]:
    """IA3s as one: PEFT multiplies by every active vector, so the product of the vectors does the same."""
    return {key: torch.stack([tensors[key] for tensors, _ in parts]).prod(0) for key in parts[0][0]}, {}


# PEFT type -> how its adapters become one. A type without a line has no sharing: shared+private.
COMPOSE: dict[str, Callable[[list[Part]], tuple[State, dict[str, Any]]]] = {
    "LORA": compose_lora,
    "ADALORA": compose_lora,
    "IA3": compose_ia3,
}
