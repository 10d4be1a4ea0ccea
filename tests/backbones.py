"""Tiny backbones of every family, loaded from folders, and their vectors of a few texts."""

import pytest
import torch

from peftrec.model.backbone.families import FAMILIES, QUANTIZATIONS

LAYERS = 3
TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13", "w7", "w3 w5 w8"]
CASES = [(family, quantize) for family in FAMILIES for quantize in QUANTIZATIONS]
every_case = pytest.mark.parametrize(("family", "quantize"), CASES, ids=[f"{f}-{q}" for f, q in CASES])


def tokens(backbone, *texts):
    out = backbone.tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=True)
    return out.input_ids, out.attention_mask, out.token_type_ids


def vectors(backbone, *texts):
    ids, mask, types = tokens(backbone, *texts)
    with torch.no_grad():
        return backbone.pool(backbone.run(ids, mask, types), mask)
