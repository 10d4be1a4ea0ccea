"""PEFT's methods for several tasks at once: PEFT's own classes and options, one named adapter an owner.

PEFT's traps that this file closes (each reproduced in tests): activating another adapter freezes the others, so every
owner keeps its gradient here; adapter names are matched as substrings, so none is one of another; a model holds one
PEFT type, so PEFT's layers are in the model only while they are used; default targets reach beyond the layers.
"""

import copy
from pathlib import Path
from typing import Any

from torch import nn

from peftrec.errors import UserError, first_line
from peftrec.model.adapters.base import SHARED, LayerAdapter, adapter_name, layers_inside, read_tensors, write_adapter
from peftrec.model.adapters.compose import COMPOSE, Part, State
from peftrec.model.adapters.graft import Graft, rewrites
from peftrec.model.adapters.patterns import check_patterns, patterns_of
from peftrec.model.adapters.targets import peft_config
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig

# Types that take the weights of a quantised layer, codes, for numbers.
_READING = ("DEFT", "HRA", "PEANUT")


class PeftAdapter(LayerAdapter):
    """A PEFT method whose tuner lives in the layers (LoRA, IA3, ...). `options` go to PEFT's config class.

    kind    PEFT's name of the method
    preset  option values that the method's name stands for
    filled  whether `load` will make every owner's part
    """

    def __init__(
        self,
        backbone: Backbone,
        config: AdapterConfig,
        tasks: list[str],
        shared: str = SHARED,
        kind: str = "LORA",
        preset: dict[str, Any] | None = None,
        filled: bool = False,
    ) -> None:
        super().__init__(backbone, config, tasks, shared)
        made, lowest = peft_config(kind, config, backbone, layers_inside(config, backbone), preset or {})
        if backbone.config.quantize is not None:
            if kind in _READING:
                raise UserError(f"adapter.method: PEFT's {config.method} cannot read quantised weights")
            if rewrites(made):
                raise UserError(
                    f"adapter.options.init_lora_weights: {made.init_lora_weights} cannot read quantised weights"
                )
        self.lowest = lowest if backbone.layers is not None else 0
        self.grafts: dict[str, Graft] = {}
        self._initial: dict[str, State] = {}
        if filled:
            return
        # Adapters that are active together share a graft.
        together = [self.owners] if config.sharing == "shared+private" else [[owner] for owner in self.owners]
        for owners in together:
            graft = self._graft({adapter_name(owner): copy.deepcopy(made) for owner in owners})
            self.grafts.update(dict.fromkeys(owners, graft))
        # Where a method starts by moving weights from the backbone into the adapter, they are not part of what it adds.
        if rewrites(made):
            self._initial = {o: self._part(o)[0] for o in self.owners}
        if config.sharing == "shared+private" and not self._composable(kind):
            raise UserError(
                f"adapter.sharing: the shared and private parts of {config.method} with these options cannot be "
                "composed into one adapter; choose sharing: shared or private"
            )
        self.export(tasks[0])  # what cannot be exported is refused before training

    def _graft(self, configs: dict[str, Any]) -> Graft:
        try:
            return Graft(self.backbone, configs)
        except UserError:  # no room
            raise
        except Exception as error:  # whatever goes wrong inside PEFT, this method does not work on this backbone
            raise UserError(f"adapter: PEFT refuses {self.config.method} here: {first_line(error)}") from error

    def _composable(self, kind: str) -> bool:
        layers = [layer for *_, layer in self.grafts[self.owners[0]].slots]
        varied = any(getattr(layer, "lora_variant", None) for layer in layers)  # DoRA and other LoRAs with more to them
        return kind in COMPOSE and not varied and not self._initial

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The owner's trained tensors by their path in the model."""
        return self.grafts[owner].trained[adapter_name(owner)]

    def activate(self, task: str | None) -> None:
        """Put the task's layers into the model, its adapters active; None: the plain model."""
        if task is not None:
            owners = self.owners_of(task)
            self.grafts[owners[0]].put_in([adapter_name(owner) for owner in owners])
        elif self.backbone.graft in self.grafts.values():
            self.backbone.graft.take_out()

    def train(self, mode: bool = True) -> "PeftAdapter":
        """Dropout of the adapters that are trained only; the frozen layers, and frozen adapters, stay in eval."""
        super().train(mode)
        for graft in set(self.grafts.values()):
            frozen = {adapter_name(o) for o, of in self.grafts.items() if of is graft and self.is_frozen(o)}
            on = mode and len(frozen) < len(graft.configs)
            for *_, layer in graft.slots:
                layer.training = on
                for name, child in layer.named_children():
                    if name != "base_layer":
                        child.train(on)
                        for adapter, part in child.named_children():
                            part.train(on and adapter not in frozen)
        return self

    def save(self, task: str, folder: Path) -> None:
        """One plain PEFT adapter; with a shared and a private part, their exact composition."""
        state, described = self.export(task)
        described |= {"inference_mode": True, "base_model_name_or_path": self.backbone.config.name}
        write_adapter(folder, described, state)

    def export(self, task: str) -> tuple[State, dict[str, Any]]:
        """What `save` writes: tensors, and the configuration as plain values."""
        owners = self.owners_of(task)
        parts = [self._part(owner) for owner in owners]
        parts += [(self._initial[o], {p: -s for p, s in self._part(o)[1].items()}) for o in owners if self._initial]
        config = self.grafts[owners[0]].configs[adapter_name(owners[0])]
        if len(parts) == 1:
            return parts[0][0], config.to_dict()
        state, changes = COMPOSE[config.peft_type.value](parts)
        return state, {**config.to_dict(), **changes}

    def _part(self, owner: str) -> Part:
        graft, name = self.grafts[owner], adapter_name(owner)
        return graft.state(name), graft.scales(name)

    def load(self, owner: str, folder: Path) -> None:
        """Rebuild the owner's adapter from its own folder, whatever type and rank exporting gave it."""
        from peft.utils import CONFIG_NAME

        name = adapter_name(owner)
        key = (name, (folder / CONFIG_NAME).read_bytes())
        alike: Graft | None = self.backbone.grafts.get(key)
        if alike is not None and alike.stored:
            graft = alike.about(read_tensors(folder, alike.stored), self.backbone)
        else:
            graft = self._read(name, folder)
        self.backbone.grafts[key] = self.grafts[owner] = graft
        self._initial = {}

    def _read(self, name: str, folder: Path) -> Graft:
        """An adapter as PEFT itself makes it of a folder."""
        from peft import PeftConfig, set_peft_model_state_dict
        from peft.utils import CONFIG_NAME

        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        paths = [path for path, _ in self.backbone.model.named_modules()]
        for option, value in config.to_dict().items():
            check_patterns(f"{folder / CONFIG_NAME}: {option}", patterns_of(option, value), paths)
        graft = self._graft({name: config})
        state = read_tensors(folder, graft.state(name))
        with graft.inside() as peft:
            set_peft_model_state_dict(peft, state, adapter_name=name)
        return graft


def peft_methods() -> list[str]:
    """PEFT's methods that only exchange modules of the layers, so that `PeftAdapter` can hold them, in lower case."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING as TUNERS
    from peft.tuners.tuners_utils import BaseTuner

    unfit = ("POLY", "SHADOW", "TRAINABLE_TOKENS")  # these want task ids, hooks around the model, the embeddings
    return [
        kind.value.lower()
        for kind, tuner in TUNERS.items()
        if issubclass(tuner, BaseTuner) and "target_modules" in CONFIGS[kind].__dataclass_fields__ and kind not in unfit
    ]


def is_peft_type(name: str) -> bool:
    """Whether PEFT has a method of this name, in any case."""
    from peft import PeftType

    return name.upper() in PeftType.__members__
