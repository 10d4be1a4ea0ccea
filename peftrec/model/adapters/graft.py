"""PEFT's layers for some adapters of one backbone, in its model only while they are used.

PEFT walks the whole model some times for each adapter, and draws weights that a file then replaces. So where a run is
loaded beside another whose adapter has the same configuration, its layers are copies of that one's about its own file.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.machine.draws import drawn_for
from peftrec.model.adapters.compose import State
from peftrec.model.adapters.lowrank import quicken
from peftrec.model.backbone import Backbone


class Graft:
    """PEFT's layers for some adapters that may be active together, put into the model only while they are used.

    A backbone has any number of grafts, and at most one of them in its model.

    trained  adapter name -> its trained parameters by their path in the model
    """

    def __init__(self, backbone: Backbone, configs: dict[str, Any]) -> None:
        if backbone.graft is not None:
            backbone.graft.take_out()
        self.backbone, self.model, self.configs = backbone, backbone.model, configs
        model = backbone.model
        plain = [(parent, name, child) for parent in model.modules() for name, child in parent._modules.items()]
        frozen = dict(model.named_parameters())
        self.trained: dict[str, dict[str, nn.Parameter]] = {}
        self.slots: list[tuple[nn.Module, str, nn.Module, Any]] = []  # parent, name in it, plain module, PEFT's layer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.peft = self._inject(plain, frozen)
            finally:
                for parent, name, child in plain:
                    parent._modules[name] = child
                if hasattr(model, "peft_config"):
                    del model.peft_config  # PEFT would take a later PeftModel's adapters for this one's
                for parameter in frozen.values():
                    parameter.requires_grad_(False)
        for parameters in self.trained.values():
            for parameter in parameters.values():
                parameter.requires_grad_(True)
        for *_, layer in self.slots:
            quicken(layer)
            layer.register_forward_hook(_keep_dtype)

    def _inject(self, plain: list[tuple[Any, str, Any]], frozen: dict[str, nn.Parameter]) -> Any:
        from peft import get_peft_model

        if any(rewrites(config) for config in self.configs.values()):
            targets = set().union(*(config.target_modules for config in self.configs.values()))
            for path in targets:  # the weights to be rewritten are this graft's own copies
                parent, _, name = path.rpartition(".")
                self.model.get_submodule(parent)._modules[name] = copy.deepcopy(self.model.get_submodule(path))
        peft: Any = None
        for adapter, config in self.configs.items():
            with drawn_for(adapter):
                if peft is None:
                    peft = get_peft_model(self.model, config, adapter)
                else:
                    config.inference_mode = True  # AdaLoRA allows one that is not; what is trained is our business
                    peft.add_adapter(adapter, config)
                    peft.base_model.set_adapter(adapter)
            self.slots = [(p, n, c, p._modules[n]) for p, n, c in plain if c is not None and p._modules[n] is not c]
            self.slots = [slot for slot in self.slots if hasattr(slot[3], "base_layer")]
            for *_, layer in self.slots:
                if hasattr(layer, "ranknum"):
                    layer.ranknum.requires_grad_(False)  # a count; PEFT trains it when it moves to 16 bits
            own = self._own_biases()
            for name, parameter in frozen.items():
                if parameter.requires_grad and id(parameter) not in own:
                    raise ValueError(f"it would train the backbone's {name}, which all tasks share")
            self.trained[adapter] = {
                name.removeprefix("model."): p for name, p in peft.base_model.named_parameters() if p.requires_grad
            }
        return peft

    def _own_biases(self) -> set[int]:
        """Where PEFT trains a plain module's bias, give the layer a copy of the module: shared weights, own bias.

        Returns the identities of the biases that are not trained themselves any more.
        """
        replaced = set()
        for *_, module, layer in self.slots:
            bias = getattr(module, "bias", None)
            if bias is not None and bias.requires_grad and layer.base_layer is module:
                own = copy.copy(module)
                own._parameters = {**module._parameters, "bias": nn.Parameter(bias.detach().clone())}
                layer.base_layer = own
                replaced.add(id(bias))
        return replaced

    def put_in(self, adapters: list[str]) -> None:
        """Let `adapters` take part in the model's forward, and nothing else of PEFT's. No weights move."""
        if self.backbone.graft is not self:
            if self.backbone.graft is not None:
                self.backbone.graft.take_out()
            for parent, name, _, layer in self.slots:
                parent._modules[name] = layer
            self.backbone.graft = self
        for *_, layer in self.slots:
            layer._active_adapter = adapters

    def take_out(self) -> None:
        """Put the plain modules back, if this graft is in the model."""
        if self.backbone.graft is self:
            for parent, name, module, _ in self.slots:
                parent._modules[name] = module
            self.backbone.graft = None

    @contextmanager
    def inside(self) -> Iterator[Any]:
        """The PeftModel with its layers in place, for PEFT's own functions; afterwards the model is plain."""
        self.put_in(list(self.configs))
        try:
            yield self.peft
        finally:
            self.take_out()

    def state(self, adapter: str) -> State:
        """The adapter's tensors under the names that a PEFT file has."""
        from peft import get_peft_model_state_dict

        with self.inside() as peft:
            state = get_peft_model_state_dict(peft, adapter_name=adapter, save_embedding_layers=False)
        held = len(self.trained[adapter])
        assert len(state) >= held, f"{adapter}: {len(state)} tensors to save, {held} trained"
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def scales(self, adapter: str) -> dict[str, float]:
        """What LoRA multiplies each adapted module's part by, by module path; empty for methods without such."""
        with self.inside():
            layers = [(path, layer) for path, layer in self.model.named_modules() if hasattr(layer, "base_layer")]
            return {path: layer.scaling[adapter] for path, layer in layers if adapter in getattr(layer, "scaling", {})}

    @cached_property
    def stored(self) -> dict[str, nn.Parameter]:
        """The one adapter's trained parameters by their names in a PEFT file; empty where these alone do not make it,
        so that it cannot be made `about` other tensors."""
        from peft import get_peft_model_state_dict

        (adapter,) = self.configs
        with self.inside() as peft:
            state = get_peft_model_state_dict(peft, adapter_name=adapter, save_embedding_layers=False)
        trained = {parameter.data_ptr(): parameter for parameter in self.trained[adapter].values()}
        found = {name: trained[tensor.data_ptr()] for name, tensor in state.items() if tensor.data_ptr() in trained}
        own = {id(tensor) for *_, module, layer in self.slots for tensor in _tensors(layer, module)}
        whole = len(found) == len(state) == len(trained) and own == {id(of) for of in found.values()} == {
            id(of) for of in trained.values()
        }
        return found if whole and all(layer.base_layer is module for *_, module, layer in self.slots) else {}

    def about(self, tensors: State, backbone: Backbone) -> "Graft":
        """A graft of the same configuration with these tensors, named as `stored`, for another run over the model."""
        ((adapter, trained),) = self.trained.items()
        stored = {name: nn.Parameter(tensors[name].to(old.device, old.dtype)) for name, old in self.stored.items()}
        new = {id(old): stored[name] for name, old in self.stored.items()}
        graft = copy.copy(self)
        graft.backbone, graft.stored = backbone, stored
        graft.trained = {adapter: {path: new[id(old)] for path, old in trained.items()}}
        graft.slots = [(parent, name, plain, _copied(layer, plain, new)) for parent, name, plain, layer in self.slots]
        return graft


def rewrites(config: Any) -> bool:
    """Whether PEFT starts this LoRA by moving a part of the plain weights into it (PiSSA, OLoRA)."""
    return str(getattr(config, "init_lora_weights", "")).lower().startswith(("pissa", "olora"))


def _keep_dtype(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    """Give a 16-bit model 16 bits back; some of PEFT's layers (IA3 over 4-bit weights) return their own 32."""
    return output.to(inputs[0].dtype) if output.dtype == torch.float32 else output


def _tensors(layer: nn.Module, plain: nn.Module) -> Iterator[Tensor]:
    """What a layer of PEFT's holds beside the plain module in it."""
    yield from (of for of in (*layer._parameters.values(), *layer._buffers.values()) if of is not None)
    for child in layer._modules.values():
        if child is not None and child is not plain:
            yield from _tensors(child, plain)


def _copied(layer: Any, plain: nn.Module, new: dict[int, nn.Parameter]) -> Any:
    """A layer of PEFT's around the same plain module, with new parameters by the identity of its own."""
    if layer is None or layer is plain:
        return layer
    held = layer.__dict__
    made = object.__new__(type(layer))
    made.__dict__ |= {name: of.copy() if isinstance(of, dict | list | set) else of for name, of in held.items()}
    parts = {name: None if of is None else new[id(of)] for name, of in layer._parameters.items()}
    inner = {name: _copied(of, plain, new) for name, of in layer._modules.items()}
    made.__dict__ |= {"_parameters": parts, "_modules": inner}
    return made
