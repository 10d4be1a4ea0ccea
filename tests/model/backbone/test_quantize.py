"""Quantised backbones: what is held in codes, in memory as while loading."""

import torch
from backbones import LAYERS, TEXTS, every_case, vectors
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftrec.model.backbone.families import (
    tiny_backbone,
)


@every_case
def test_quantised_means_every_linear_and_the_token_table(load, family, quantize):
    backbone, plain = load(family, quantize), load(family, None)
    assert backbone.parameter_count() == plain.parameter_count()
    assert not any(p.requires_grad for p in backbone.model.parameters()) and not backbone.model.training
    linears = [type(m).__name__ for m in backbone.model.modules() if isinstance(m, (nn.Linear, Conv1D))]
    kind = {None: {"Linear", "Conv1D"}, "int8": {"Linear8bitLt"}}.get(quantize, {"Linear4bit"})
    assert linears and set(linears) <= kind
    assert backbone.model.get_input_embeddings().weight.element_size() == (4 if quantize is None else 2)


@every_case
def test_the_footprint_counts_what_is_held(load, family, quantize):
    backbone, plain = load(family, quantize), load(family, None)
    vectors(backbone, *TEXTS)  # int8 moves its scales in the first forward
    rest = sum(b.numel() * b.element_size() for b in backbone.model.buffers())
    linear = {n for n, m in plain.model.named_modules() if isinstance(m, (nn.Linear, Conv1D))}
    table = backbone.model.get_input_embeddings()
    halved = {n for n, m in backbone.model.named_modules() if m is table and quantize is not None}
    for name, parameter in plain.model.named_parameters():
        owner, _, kind = name.rpartition(".")
        numbers = parameter.numel()
        if quantize is None or owner not in linear | halved or (owner in linear and kind == "bias"):
            rest += 4 * numbers
        elif owner in halved:
            rest += 2 * numbers
        elif quantize == "int8":
            outputs = backbone.model.get_submodule(owner).out_features
            rest += numbers + 4 * outputs
        else:
            blocks = numbers // 64
            rest += numbers // 2 + 16 * 4  # two numbers a byte, and the 16 values that they stand for
            # Constants of blocks of 64: float32, or a byte each with 256 values, a mean, and float32 of blocks of 256.
            rest += 4 * blocks if quantize != "nf4+double" else blocks + 4 * 256 + 4 + 4 * -(-blocks // 256)
    assert backbone.footprint() == rest


@every_case
def test_quantising_in_memory_equals_quantising_while_loading(load, family, quantize):
    made = tiny_backbone(family, quantize, LAYERS)
    # Loaded weights lie elsewhere in memory, which may change the order of a sum; int8 then rounds to a neighbour.
    tolerance = 0.05 if quantize == "int8" else 1e-5
    torch.testing.assert_close(vectors(made, *TEXTS), vectors(load(family, quantize), *TEXTS), atol=tolerance, rtol=0)
    assert made.footprint() == load(family, quantize).footprint()
