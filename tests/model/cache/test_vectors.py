"""The backbone's own vectors: what it says with no method on it, from the states that are there, kept on disk."""

import numpy as np
import pytest
import torch
from encoders import ROWS, TEXTS, configured, make_encoder, perturb

from peftrec.data.texts import TextTable
from peftrec.model.adapters import attach
from peftrec.model.backbone.families import tiny_backbone
from peftrec.model.encoder import AdaptedEncoder

METHODS = {"side": ("side", "all"), "layer": ("lora", "top-1"), "none": ("lora", "all")}


def expected(backbone, texts):
    """Pooled last states, by the backbone alone."""
    with torch.no_grad():
        ids, mask, types = texts.pad(ROWS)
        return backbone.pool(backbone.run(ids, mask, types), mask).float().numpy()


@pytest.mark.parametrize("quantize", [None, "nf4", "int8"])
@pytest.mark.parametrize("level", METHODS)
def test_no_method_takes_part(level, quantize):
    method, layers = METHODS[level]
    plain = tiny_backbone("BERT", quantize)
    encoder = make_encoder(tiny_backbone("BERT", quantize), {"query": configured(method, layers=layers)})
    perturb(encoder)
    assert encoder.no_vectors == ""
    found = encoder.frozen_vectors(ROWS[::-1])
    assert found.dtype == np.float32
    assert found == pytest.approx(expected(plain, encoder.texts)[::-1], abs=1e-5)
    assert ("vectors" in encoder.caches) is (level != "side")
    with torch.no_grad():  # the task's own vectors are others
        assert not np.allclose(encoder.encode(ROWS, "query").numpy(), found[::-1], atol=1e-3)


@pytest.mark.parametrize("family", ["ALBERT", "GPT-2", "ModernBERT"])
def test_of_every_family(family):
    backbone = tiny_backbone(family)
    encoder = make_encoder(backbone, {"query": configured("lora", layers="all")})
    assert encoder.frozen_vectors(ROWS) == pytest.approx(expected(tiny_backbone(family), encoder.texts), abs=1e-5)


@pytest.mark.parametrize("level", METHODS)
def test_states_kept_in_half_precision_serve(level):
    method, layers = METHODS[level]
    backbone = tiny_backbone("BERT", cache_dtype="bf16")
    encoder = make_encoder(backbone, {"query": configured(method, layers=layers)})
    assert encoder.frozen_vectors(ROWS) == pytest.approx(expected(tiny_backbone("BERT"), encoder.texts), abs=0.05)


@pytest.mark.parametrize("level", METHODS)
def test_nothing_is_encoded_twice(level):
    method, layers = METHODS[level]
    runs = []
    for _ in range(2):
        backbone, texts = tiny_backbone("BERT"), TextTable()
        ran: list[int] = []
        for layer in backbone.layers:
            layer.register_forward_pre_hook(lambda *_, ran=ran: ran.append(1))
        for text in TEXTS:
            texts.add(text)
        encoder = AdaptedEncoder(backbone, texts, attach(backbone, {"query": configured(method, layers=layers)}))
        encoder.disk = True
        encoder.update()
        before = len(ran)
        encoder.frozen_vectors(ROWS)
        once = len(ran) - before
        encoder.frozen_vectors(ROWS[:3])
        assert len(ran) == before + once
        runs.append((before, once))
    # Two layers: of all, the upper one, or none; and from the disk nothing.
    assert runs == {"side": [(2, 0), (0, 0)], "layer": [(1, 1), (0, 0)], "none": [(0, 2), (0, 0)]}[level]


def test_a_backbone_that_is_trained_has_no_vectors_of_its_own():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("full", "shared", "all")})
    assert encoder.no_vectors == "method full trains the backbone, and what it said before is gone"
