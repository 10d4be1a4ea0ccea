"""A frozen model and how to use it: run any span of its layers, pool token states, count what it weighs.

Layers are cut by truncating the model's own `ModuleList` and injecting hidden states in front of the first remaining
layer, so that masks, positions and causality stay Transformers' own business.
"""

import inspect
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from peftrec.data.texts import NO_PROMPTS, Prompts, TextTable
from peftrec.model.backbone.quantize import held_tensors, logical_numel
from peftrec.recipe import BackboneConfig

ADAPTER = "peftrec__"  # how the names of adapters' modules begin: what stands under one is no part of the backbone


@dataclass
class Used:
    """The frozen part's work: texts whose states were in memory already, those that it ran for, and the seconds."""

    found: int = 0
    computed: int = 0
    seconds: float = 0.0

    @contextmanager
    def running(self, texts: int) -> Iterator[None]:
        """Count the block as the frozen part's run for so many texts."""
        begun = time.perf_counter()
        yield
        self.computed += texts
        self.seconds += time.perf_counter() - begun


@dataclass
class Backbone:
    """A frozen pretrained model and how to use it.

    model      the Transformers base model (no head), in eval mode, requires_grad False
    tokenizer  its tokenizer
    layers     its transformer layers in order; None where one is used several times (ALBERT), so it cannot be cut
    pooling    mean, cls or last
    dtype      compute dtype; `dtype_reason` says why
    digest     "v2:" and SHA-256 over every file that shapes a vector, and the quantisation: the key of caches and runs
    first_digest  SHA-256 over weights, configuration and quantisation alone, which older runs recorded
    origin     where the weights were found
    shared     whether runs over other `Backbone`s use the same model (`share_backbone`)
    prompts    what goes before texts
    tables     the tables of texts of the runs that share the model, by what their tokens depend on
    grafts     PEFT's layers of these runs, by the adapter's name and its configuration
    used       what was made of its states, by all that share the model
    lock       held while the model is run, or something is put into it, by whoever may not be the only one
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
    first_digest: str | None = None
    shared: bool = False
    used: Used = field(default_factory=Used, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    prompts: Prompts = NO_PROMPTS
    tables: "WeakValueDictionary[Hashable, TextTable]" = field(default_factory=WeakValueDictionary, repr=False)
    grafts: "WeakValueDictionary[Hashable, Any]" = field(default_factory=WeakValueDictionary, repr=False)
    graft: Any = None  # the PEFT layers that stand in `model` now, if any

    def is_the_one(self, digest: str) -> bool:
        """Whether a run that recorded this digest, of today's or the older kind, was trained on these files."""
        return digest in (self.digest, self.first_digest)

    @property
    def hidden_size(self) -> int:
        """D, the width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def num_layers(self) -> int:
        """L, how many transformer layers the text passes."""
        return int(self.model.config.num_hidden_layers)

    @property
    def max_tokens(self) -> int | None:
        """The longest text the positions allow, special tokens included; None: no limit is stated."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for name, table in self.model.named_modules():
            # RoBERTa and its kin count positions from padding_idx + 1.
            if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None and limit:
                return int(limit - table.padding_idx - 1)
        return limit

    @property
    def device(self) -> torch.device:
        """Where the backbone computes."""
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        """The id that fills padded positions; any valid id serves where the tokenizer has none, they are masked."""
        return int(self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0)

    def common(self, texts: TextTable) -> TextTable:
        """The table that another run over the model has of the same texts; where none has, this new one, for others."""
        found = self.tables.setdefault((self.config.max_length, self.prompts, texts.digest()), texts)
        found.common = True
        return found

    def tokenize(self, texts: TextTable) -> None:
        """Have the table's new texts tokenised, as this backbone reads them."""
        texts.tokenize(self.tokenizer, self.config.max_length, self.pad_id, self.prompts)

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
                output = self.model(**self.arguments(ids, mask, types), **extra)
            finally:
                for hook in hooks:
                    hook.remove()
        return captured["out"] if captured else output.last_hidden_state

    def pooled_layers(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Pooled states entering the first layer and after every layer, (B, L + 1, D); the last is the output."""
        # Transformers' own list: L + 1 entries whose last is the model's output, final norm included.
        hidden = self.model(**self.arguments(ids, mask, types), output_hidden_states=True).hidden_states
        return torch.stack([self.pool(h, mask) for h in hidden], 1)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, T, D) and mask (B, T) -> one vector a row (B, D)."""
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
        weight = mask[..., None].to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1)

    def takes(self, argument: str) -> bool:
        """Whether the model's forward names this argument; what it does not name, it may silently ignore."""
        return argument in inspect.signature(type(self.model).forward).parameters

    def arguments(self, ids: Tensor, mask: Tensor, types: Tensor) -> dict[str, Any]:
        """What the model's forward is called with for token ids, attention mask and token types."""
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if self.takes("token_type_ids") and getattr(self.model.config, "type_vocab_size", 0) > 1:
            given["token_type_ids"] = types
        if self.takes("use_cache"):
            given["use_cache"] = False
        return given

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
        """Bytes the model takes in memory, constants of quantisation included; adapters attached to it are not."""
        tensors = [t for name, m in self.model.named_modules() if ADAPTER not in name for t in held_tensors(m)]
        return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())

    def parameter_count(self) -> int:
        """Parameters of the model as trained, however they are stored; adapters attached to it are not included."""
        return sum(logical_numel(p) for name, p in self.model.named_parameters() if ADAPTER not in name)


def find_layers(model: Any) -> nn.ModuleList | None:
    """The model's layers in order; None where one layer is used several times."""
    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and len(list(module[0].parameters())) > 2:
            return module
    return None


@torch.no_grad()
def is_causal(model: Any) -> bool:
    """Whether a token's state ignores the tokens after it; found by trying, which holds for every architecture."""
    device = next(model.parameters()).device
    top = model.config.vocab_size - 1
    both = torch.tensor([[5, 6, 7], [5, 6, 8]], device=device).clamp(max=top)
    first, second = model(input_ids=both, attention_mask=torch.ones_like(both)).last_hidden_state[:, 0]
    return bool(torch.allclose(first, second, atol=1e-6))


def _parent(model: Any, layers: nn.ModuleList) -> tuple[nn.Module, str]:
    """The module that owns `layers`, and under which name."""
    for module in model.modules():
        for name, child in module._modules.items():
            if child is layers:
                return module, name
    raise AssertionError("the layers belong to the model")


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _inject(states: Tensor) -> Any:
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states}

    return hook
