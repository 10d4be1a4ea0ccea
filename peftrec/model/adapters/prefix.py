"""Prefix tuning (Li and Liang 2021, arXiv:2101.00190): trained keys and values in front of every layer's own.

The configuration and the prefix encoder are PEFT's, and so is how a model is given a prefix: as a cache of past keys
and values, which shifts the positions of the text by the length of the prefix, and without token types, so that the
texts of a pair are told apart by the separator alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.errors import UserError, first_line, nearest, shown
from peftrec.machine.draws import drawn_for
from peftrec.model.adapters.base import SHARED, LayerAdapter, adapter_name, read_tensors, write_adapter
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig

# What PEFT's configuration says of the model and the task; it follows from the backbone.
_SET_HERE = ("peft_type", "task_type", "inference_mode", "base_model_name_or_path", "num_transformer_submodules")


class PrefixAdapter(LayerAdapter):
    """A PEFT prefix encoder an owner; the virtual tokens of the shared part stand before the private ones."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        if config.layers != "all":
            raise UserError(f"adapter.layers: a prefix stands before every layer: layers: all; found {config.layers}")
        if not backbone.takes("past_key_values"):
            raise _no_effect(backbone)
        self.described = prefix_config(config, backbone)
        self.encoders = nn.ModuleDict()
        for owner in self.owners:
            with drawn_for(owner):
                self.encoders[adapter_name(owner)] = _encoder(self.described)
        self.lowest = 0
        length = self.described.num_virtual_tokens * len(self.owners_of(tasks[0]))
        limit, kept = backbone.max_tokens, backbone.config.max_length
        if limit is not None and length + kept > limit:
            raise UserError(
                f"backbone.max_length: {backbone.config.name} takes {limit} tokens, the prefix has {length}: at most "
                f"{limit - length}; found {kept}"
            )
        check_prefix(backbone, self.described)

    def activate(self, task: str | None) -> None:
        """A prefix is an input of `run`, so there is nothing to switch."""

    def run(self, task: str, ids: Tensor, mask: Tensor, types: Tensor, states: Tensor | None, start: int) -> Tensor:
        """Hidden states (B, T, D) of the text behind the task's prefix."""
        return run_prefixed(self.backbone, self.described, self.prefix(task), ids, mask)

    def prefix(self, task: str) -> Tensor:
        """The task's virtual tokens, (P, 2 L H): every layer's keys and values."""
        return torch.cat([self._virtual_tokens(owner) for owner in self.owners_of(task)])

    def _virtual_tokens(self, owner: str) -> Tensor:
        encoder: Any = self.encoders[adapter_name(owner)]
        return encoder(torch.arange(encoder.embedding.num_embeddings, device=encoder.embedding.weight.device))

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """The prefix encoder's parameters."""
        return dict(self.encoders[adapter_name(owner)].named_parameters())

    @torch.no_grad()
    def save(self, task: str, folder: Path) -> None:
        """One plain PEFT prefix: shared and private tokens in a row, a projection carried out."""
        tokens = self.prefix(task)
        described = {
            **self.described.to_dict(),
            "base_model_name_or_path": self.backbone.config.name,
            "inference_mode": True,
            "num_virtual_tokens": len(tokens),
            "prefix_projection": False,
        }
        write_adapter(folder, described, {"prompt_embeddings": tokens})

    def load(self, owner: str, folder: Path) -> None:
        """Make the owner's part the file's virtual tokens, however many they are."""
        tokens = read_tensors(folder).get("prompt_embeddings", torch.empty(0))
        width = 2 * self.described.num_layers * self.described.token_dim
        if tokens.ndim != 2 or tokens.shape[1] != width:
            found = tuple(tokens.shape)
            raise UserError(f"{folder}: its prefix does not fit the backbone: {found}, not (tokens, {width})")
        described = type(self.described)(
            **{**self.described.to_dict(), "num_virtual_tokens": len(tokens), "prefix_projection": False}
        )
        encoder = _encoder(described).to(self.backbone.device)
        encoder.load_prompt_embeddings(tokens)
        self.encoders[adapter_name(owner)] = encoder


def _encoder(described: Any) -> Any:
    from peft import PrefixEncoder

    return PrefixEncoder(described)


def prefix_config(config: AdapterConfig, backbone: Backbone) -> Any:
    """PEFT's configuration with the backbone's shapes filled in, as PEFT itself does. Raises UserError."""
    from peft import PrefixTuningConfig
    from peft.utils.other import _prepare_prompt_learning_config

    known = [name for name in PrefixTuningConfig.__dataclass_fields__ if name not in _SET_HERE]
    for name in config.options:
        if name not in known:
            raise UserError(f"adapter.options.{name}: PEFT's PrefixTuningConfig has none; {nearest(name, known)}")
    options = {"num_virtual_tokens": 10, **config.options}
    count = options["num_virtual_tokens"]
    if type(count) is not int or count < 1:  # true would be 1
        raise UserError(
            f"adapter.options.num_virtual_tokens: must be a whole number of at least 1; found {shown(count)}"
        )
    # A PeftModel without a task type would not use the prefix at all.
    shapes = {
        "num_layers": backbone.num_layers,
        "token_dim": backbone.hidden_size,
        "num_attention_heads": backbone.model.config.num_attention_heads,
    }
    set_here = {"task_type": "FEATURE_EXTRACTION", "num_transformer_submodules": 1}
    try:
        made = PrefixTuningConfig(**{**shapes, **options, **set_here})
        return _prepare_prompt_learning_config(made, backbone.model.config)  # grouped keys and values are narrower
    except (ValueError, TypeError) as error:
        raise UserError(f"adapter.options: PEFT's PrefixTuningConfig refuses them: {error}") from None


def run_prefixed(backbone: Backbone, described: Any, tokens: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Hidden states (B, T, D) of the text behind virtual tokens (P, 2 L H); token types are 0, as PEFT has them."""
    cache = _past(backbone, described, tokens, len(ids))
    seen = torch.cat([mask.new_ones(len(ids), len(tokens)), mask], 1)
    return backbone.run(ids, seen, torch.zeros_like(ids), past_key_values=cache)


def _past(backbone: Backbone, described: Any, tokens: Tensor, batch: int) -> Any:
    """Transformers' cache with the virtual tokens in it, as `PeftModel.get_prompt` makes it; forward adds to it."""
    from transformers import DynamicCache

    heads = described.num_attention_heads
    split = tokens.to(backbone.dtype).view(len(tokens), described.num_layers, 2, heads, described.token_dim // heads)
    layers = split.permute(1, 2, 3, 0, 4)[:, :, None].expand(-1, -1, batch, -1, -1, -1)  # (L, 2, B, heads, P, d)
    sliding = any(kind in backbone.model.config.model_type for kind in ("gemma2", "gemma3_text", "gemma4"))
    cache = DynamicCache(config=backbone.model.config) if sliding else DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


@torch.no_grad()
def check_prefix(backbone: Backbone, described: Any) -> None:
    """Raise UserError where the model cannot take a prefix, or computes the same whatever it holds."""
    ids = torch.arange(5, 8, device=backbone.device)[None] % backbone.model.config.vocab_size
    width = 2 * described.num_layers * described.token_dim
    tokens = torch.randn(2, width, generator=torch.Generator().manual_seed(0)).to(backbone.device)
    try:
        # Two of equal length, because positions shift by the length whether or not the rest is looked at.
        one, other = (run_prefixed(backbone, described, t, ids, torch.ones_like(ids)) for t in (tokens, -tokens))
    except Exception as error:  # whatever goes wrong inside the model, it cannot take a prefix
        raise UserError(f"adapter.method: prefix does not work on {_class(backbone)}: {first_line(error)}") from error
    if torch.equal(one, other):
        raise _no_effect(backbone)


def _no_effect(backbone: Backbone) -> UserError:
    return UserError(
        f"adapter.method: prefix has no effect on {_class(backbone)}: Transformers ignores past_key_values there; use "
        "another method, such as lora"
    )


def _class(backbone: Backbone) -> str:
    return type(backbone.model).__name__
