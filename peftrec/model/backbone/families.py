"""Tiny random models of every backbone family, in memory and in milliseconds: for the method probe and the tests.

A family's tiny model is Transformers' own architecture with narrow layers. `shrink` makes one of any configuration, so
that a method is probed on the architecture that a recipe names, without its weights.
"""

import copy
from functools import cache
from typing import Any

import torch

from peftrec.machine.draws import seed_all
from peftrec.model.backbone import Backbone, frozen_backbone
from peftrec.recipe import BackboneConfig

# Family -> (Transformers' model type, what its tiny configuration changes of the type's defaults).
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "BERT": ("bert", {}),
    "RoBERTa": ("roberta", {}),
    "XLM-R": ("xlm-roberta", {}),
    "ModernBERT": ("modernbert", {"layer_types": ["full_attention", "sliding_attention"]}),
    "DistilBERT": ("distilbert", {}),
    "MPNet": ("mpnet", {}),
    "DeBERTa-v2": (
        "deberta-v2",
        {
            # As in DeBERTa-v3: positions enter attention only.
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "ALBERT": ("albert", {}),
    "ELECTRA": ("electra", {}),
    "Llama": ("llama", {"num_key_value_heads": 2}),
    "Qwen3": ("qwen3", {"num_key_value_heads": 2}),
    "GPT-2": ("gpt2", {}),
    "Gemma3": ("gemma3_text", {"layer_types": ["sliding_attention", "full_attention"]}),
}
# Label -> backbone.quantize, backbone.double_quant
QUANTIZATIONS: dict[str | None, dict[str, Any]] = {
    None: {},
    "nf4": {"quantize": "nf4"},
    "nf4+double": {"quantize": "nf4", "double_quant": True},
    "fp4": {"quantize": "fp4"},
    "int8": {"quantize": "int8"},
}
VOCABULARY = 128


def shrink(config: Any, width: int = 32, layers: int | None = None) -> Any:
    """A Transformers configuration of the same architecture with hidden states of `width` numbers, 4 heads, 128 tokens,
    attention windows of 8 tokens, and as many layers as before or as said."""
    tiny = {
        "hidden_size": width,
        "num_attention_heads": 4,
        "head_dim": width // 4,
        "intermediate_size": 2 * width,
        "hidden_dim": 2 * width,
        "ffn_dim": 2 * width,
        "n_inner": 2 * width,
        "embedding_size": width,
        "vocab_size": VOCABULARY,
        "sliding_window": 8,
        "local_attention": 8,
        "initializer_range": 0.02 * (768 / width) ** 0.5,  # activations as large as 0.02 gives at width 768
    }
    small = copy.deepcopy(config)
    groups = getattr(small, "num_key_value_heads", None)
    if groups is not None:
        small.num_key_value_heads = 2 if groups < small.num_attention_heads else 4
    for name, value in tiny.items():
        if getattr(small, name, None) is not None and not isinstance(getattr(type(small), name, None), property):
            setattr(small, name, value)
    for name in [n for n in vars(small) if n.endswith("_token_id")]:
        token = getattr(small, name)
        if isinstance(token, int) and token >= VOCABULARY:
            setattr(small, name, token % 4)
    if layers is not None:
        small.num_hidden_layers = layers
        if getattr(small, "layer_types", None):
            small.layer_types = small.layer_types[:layers]
    return small


def tiny_config(family: str, layers: int = 2) -> Any:
    """The Transformers configuration of a family's tiny model."""
    from transformers import AutoConfig

    model_type, details = FAMILIES[family]
    config = AutoConfig.for_model(model_type)
    for name, value in details.items():
        # One value a layer is written for two layers in turn.
        setattr(config, name, (value * layers)[:layers] if name == "layer_types" else value)
    config.max_position_embeddings = 64
    return shrink(config, layers=layers)


def tiny_model(config: Any, seed: int = 0) -> Any:
    """A random model of a (tiny) configuration, float32, in eval mode; torch's global generator is left as it was."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        seed_all(seed)
        return AutoModel.from_config(config, dtype=torch.float32).eval()


def tiny_backbone(family: str, quantize: str | None = None, layers: int = 2, **options: Any) -> Backbone:
    """A frozen tiny backbone of a family; `quantize` is a label of `QUANTIZATIONS`, `options` go to BackboneConfig."""
    return random_backbone(tiny_config(family, layers), name=family, **QUANTIZATIONS[quantize], **options)


def random_backbone(config: Any, name: str, **options: Any) -> Backbone:
    """A frozen backbone with random weights of a (tiny) Transformers configuration."""
    described = BackboneConfig(name=name, **{"max_length": 32, "dtype": "fp32", **options})
    return frozen_backbone(tiny_model(config), tiny_tokenizer(config.pad_token_id), described)


@cache
def tiny_tokenizer(pad_id: int | None = None) -> Any:
    """A tokenizer whose words are w0, w1, ...: one token each, between [CLS] and [SEP]. `pad_id` is below 4."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[UNK]", "[CLS]", "[SEP]"]
    special.insert(pad_id or 0, "[PAD]")
    words = [*special, *(f"w{n}" for n in range(VOCABULARY - len(special)))]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(word, words.index(word)) for word in ("[CLS]", "[SEP]")],
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **named)
