"""PEFT's methods for several tasks at once: PEFT's own classes and options, one named adapter an owner.

PEFT's traps that this file closes (each reproduced in tests): activating another adapter freezes the others, so
`activate` gives every owner its gradient back; names are matched as substrings, so no name here is one of another; the
default targets reach beyond the layers, so modules are named in full.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from peftrec.adapters.base import SHARED, LayerAdapter, adapter_name, chosen_layers
from peftrec.backbone import Backbone
from peftrec.recipe import AdapterConfig, UserError, nearest

State = dict[str, Tensor]


class PeftAdapter(LayerAdapter):
    """A PEFT method whose tuner lives in the layers (LoRA, IA3, ...). `options` go to PEFT's config class."""

    def __init__(
        self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED, kind: str = "LORA"
    ) -> None:
        super().__init__(backbone, config, tasks, shared)
        self.kind = kind
        layers = chosen_layers(config, backbone.num_layers)
        if config.sharing == "shared+private" and kind not in COMPOSE:
            raise UserError(f"adapter.sharing: {config.method} cannot be composed; choose shared or private")
        for owner in self.owners:
            self._add(owner, layers)
        self.lowest = min(layers) if backbone.layers is not None else 0

    @property
    def model(self) -> Any:
        """The PeftModel around the backbone's model; the backbone's own module tree is changed in place."""
        return self.backbone.peft

    def _add(self, owner: str, layers: list[int]) -> None:
        from peft import get_peft_model

        config = peft_config(self.kind, self.config, self.backbone, layers)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*Already found a `peft_config` attribute.*")
                if self.backbone.peft is None:
                    self.backbone.peft = get_peft_model(self.backbone.model, config, adapter_name(owner))
                else:
                    self.backbone.peft.add_adapter(adapter_name(owner), config)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UserError(f"adapter: PEFT refuses {self.config.method} here: {error}") from None

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The owner's tensors by their path in the model."""
        part = f".{adapter_name(owner)}"
        named = self.model.base_model.model.named_parameters()
        return {name: p for name, p in named if name.endswith(part) or f"{part}." in name}

    def activate(self, task: str | None) -> None:
        """Make the task's adapters the active ones in every tuner layer, and keep every owner trainable."""
        names = [] if task is None else [adapter_name(owner) for owner in self.owners_of(task)]
        for layer in tuner_layers(self.backbone.model):
            # What PEFT's own set_adapter sets, without its switching off of the other adapters' gradients.
            layer._active_adapter = [name for name in names if _holds(layer, name)]

    def train(self, mode: bool = True) -> "PeftAdapter":
        """Dropout of the adapters only; the frozen layers stay in eval."""
        super().train(mode)
        for layer in tuner_layers(self.backbone.model):
            for name, child in layer.named_children():
                if name != "base_layer":
                    child.train(mode)
        return self

    def save(self, task: str, folder: Path) -> None:
        """One plain PEFT adapter; with a shared and a private part, their exact composition."""
        parts = [self._state(owner) for owner in self.owners_of(task)]
        config = self.model.peft_config[adapter_name(self.owners_of(task)[0])]
        described = {**config.to_dict(), "inference_mode": True, "base_model_name_or_path": self.backbone.config.name}
        state = parts[0]
        if len(parts) > 1:
            state, changes = COMPOSE[self.kind](parts, [self._scales(owner) for owner in self.owners_of(task)])
            described |= changes
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in state.items()}, folder / "adapter_model.safetensors", {"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(described, indent=2, sort_keys=True, default=_plain))

    def load(self, owner: str, folder: Path) -> None:
        """Rebuild the owner's adapter from its own folder, whatever rank composing gave it."""
        from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        name = adapter_name(owner)
        if self.backbone.peft is None:
            self.backbone.peft = get_peft_model(self.backbone.model, config, name)
        else:
            if name in self.model.peft_config:
                self.model.delete_adapter(name)
            self.model.add_adapter(name, config)
        state = load_file(folder / "adapter_model.safetensors")
        outcome: Any = set_peft_model_state_dict(self.model, state, adapter_name=name)
        held = len(self.parameters_of(owner))
        if outcome.unexpected_keys or held != len(state):
            raise UserError(f"{folder}: {len(state)} adapter tensors do not fit the backbone, which takes {held}")

    def _state(self, owner: str) -> State:
        """The owner's tensors under the names that a PEFT file has."""
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(self.model, adapter_name=adapter_name(owner), save_embedding_layers=False)
        held = self.parameters_of(owner)
        assert len(state) == len(held), f"{owner}: {len(state)} tensors to save, {len(held)} trained"
        return {name: tensor.detach().cpu() for name, tensor in state.items()}

    def _scales(self, owner: str) -> dict[str, float]:
        """LoRA's alpha / r of every adapted module, by module path; empty for methods without one."""
        name = adapter_name(owner)
        return {
            path: layer.scaling[name]
            for path, layer in self.backbone.model.named_modules()
            if name in getattr(layer, "scaling", {})
        }


def peft_config(kind: str, config: AdapterConfig, backbone: Backbone, layers: list[int]) -> Any:
    """PEFT's configuration object with its targets written out as full module paths inside the chosen layers."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS
    from peft import PeftType

    cls: Any = CONFIGS[PeftType(kind)]
    known = [f for f in cls.__dataclass_fields__ if f != "peft_type"]
    for name in config.options:
        if name not in known:
            raise UserError(f"adapter.options.{name}: PEFT's {cls.__name__} has none; {nearest(name, known)}")
    try:
        made = cls(**config.options)
    except (ValueError, TypeError) as error:
        raise UserError(f"adapter.options: PEFT's {cls.__name__} refuses them: {error}") from None
    if hasattr(made, "target_modules"):
        made.target_modules = set(_targets(made, backbone, layers))
    if getattr(made, "feedforward_modules", None) is not None or kind == "IA3":
        made.feedforward_modules = {t for t in made.target_modules if _feedforward(made, backbone, t)}
    return made


def _targets(made: Any, backbone: Backbone, layers: list[int]) -> list[str]:
    from peft.tuners.tuners_utils import check_target_module_exists
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORA

    inside = linear_paths(backbone, layers)
    wanted = made.target_modules
    if wanted is None:
        wanted = _default_targets(made, backbone) or LORA.get(backbone.model.config.model_type) or "all-linear"
    if wanted == "all-linear":
        return inside
    made.target_modules = wanted if isinstance(wanted, str) else set(wanted)
    found = [path for path in inside if check_target_module_exists(made, path)]
    if not found:
        raise UserError(f"adapter.options.target_modules: none of {wanted} is in layers {layers}: {inside[:8]}")
    return found


def _default_targets(made: Any, backbone: Backbone) -> Any:
    """PEFT's own default modules of this method for this architecture, or None."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(made.peft_type)
    mapping = getattr(tuner, "target_module_mapping", None) or {}
    return mapping.get(backbone.model.config.model_type)


def _feedforward(made: Any, backbone: Backbone, path: str) -> bool:
    """Whether IA3 scales this module's input (feed-forward output projections) instead of its output."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD

    names = made.feedforward_modules or FEEDFORWARD.get(backbone.model.config.model_type) or []
    return any(path == name or path.endswith(f".{name}") for name in names)


def linear_paths(backbone: Backbone, layers: list[int]) -> list[str]:
    """Paths of the linear (also quantised, also GPT-2's Conv1D) modules inside the chosen layers, in order."""
    from transformers.pytorch_utils import Conv1D

    roots = [backbone.model.encoder] if backbone.layers is None else [backbone.layers[n] for n in layers]
    inside = {id(m) for root in roots for m in root.modules() if isinstance(m, (nn.Linear, Conv1D))}
    bare = ((name.replace(".base_layer", ""), m) for name, m in backbone.model.named_modules())
    return [name for name, m in bare if id(m) in inside and "peftrec__" not in name]


def tuner_layers(model: nn.Module) -> list[Any]:
    """PEFT's tuner layers in `model`."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [m for m in model.modules() if isinstance(m, BaseTunerLayer)]


def _holds(layer: Any, name: str) -> bool:
    return any(name in getattr(layer, part) for part in layer.adapter_layer_names)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))


def compose_lora(parts: list[State], scales: list[dict[str, float]]) -> tuple[State, dict[str, Any]]:
    """Several LoRAs as one: A stacked, scale x B side by side, rank the sum, alpha = rank: scale 1."""
    state: State = {}
    ranks: dict[str, int] = {}
    for key in parts[0]:
        path = key.removeprefix("base_model.model.").split(".lora_")[0]
        tensors = [part[key] for part in parts]
        if ".lora_A." in key:
            state[key] = torch.cat(tensors, 0)
            ranks[path] = state[key].shape[0]
        elif ".lora_B." in key:
            state[key] = torch.cat([t * scale[path] for t, scale in zip(tensors, scales, strict=True)], 1)
        else:
            raise UserError(f"adapter.sharing: cannot compose {key.split('.')[-1]}; choose private or shared")
    rank = max(ranks.values())
    pattern = {path: r for path, r in ranks.items() if r != rank}
    changes = {"r": rank, "lora_alpha": rank, "use_rslora": False, "rank_pattern": pattern, "alpha_pattern": pattern}
    return state, changes


# PEFT type -> how a shared and a private adapter become one. A method without a line has no shared+private.
COMPOSE: dict[str, Callable[[list[State], list[dict[str, float]]], tuple[State, dict[str, Any]]]] = {
    "LORA": compose_lora,
}
