"""What priors and starts are given: the backbone's vectors, and what its upper layers say, with no method on them."""

import numpy as np
import pytest
import torch
from encoders import ROWS, configured, make_encoder, perturb

from peftrec.model.backbone.families import tiny_backbone
from peftrec.model.frozen_vectors import FrozenVectors
from peftrec.tasks.priors.vectors import Layered


def expected(backbone, texts, layers):
    """The pooled states of these layers, by Transformers' own model."""
    with torch.no_grad():
        ids, mask, _ = texts.pad(ROWS)
        states = backbone.model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return np.concatenate([backbone.pool(states[layer], mask).float().numpy() for layer in layers], 1)


@pytest.mark.parametrize("method", ["side", "lora"])
def test_no_method_takes_part_and_the_last_is_the_vector(method):
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured(method, layers="all")})
    perturb(encoder)
    vectors = FrozenVectors(encoder)
    assert isinstance(vectors, Layered) and encoder.upper_layers == [1, 2]
    found = vectors.of_layers(ROWS[::-1])
    assert found.dtype == np.float32 and found.shape == (len(ROWS), vectors.columns)
    assert found == pytest.approx(expected(tiny_backbone("BERT"), encoder.texts, [1, 2])[::-1], abs=1e-5)
    width = encoder.backbone.hidden_size
    assert vectors(ROWS[::-1]) == pytest.approx(found[:, -width:], abs=1e-6)
    assert "vectors" not in encoder.caches  # the layers are kept, and the last is among them


@pytest.mark.parametrize("family", ["ALBERT", "GPT-2", "ModernBERT"])
def test_of_every_family(family):
    encoder = make_encoder(tiny_backbone(family), {"query": configured("lora", layers="all")})
    vectors = FrozenVectors(encoder)
    assert vectors(ROWS) == pytest.approx(vectors.of_layers(ROWS)[:, -encoder.backbone.hidden_size :], abs=1e-5)


def test_what_is_kept_is_not_computed_again():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("lora", layers="top-1")})
    vectors, ran = FrozenVectors(encoder), []
    for layer in encoder.backbone.layers:
        layer.register_forward_pre_hook(lambda *_: ran.append(1))
    vectors.have_layers(ROWS)
    assert len(ran) == 2
    vectors.of_layers(ROWS), vectors(ROWS[:3])
    assert len(ran) == 2


def test_what_a_request_has_computed_outlives_its_inference_mode():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("lora", layers="top-1")})
    vectors = FrozenVectors(encoder)
    with torch.inference_mode():
        vectors.have_layers(ROWS[:2])
        first = vectors.of_layers(ROWS[:2])
    assert np.array_equal(vectors.of_layers(ROWS)[:2], first)


@pytest.mark.parametrize(
    ("layers", "upper"), [(1, [1]), (2, [1, 2]), (6, [3, 4, 5, 6]), (12, [6, 8, 10, 12]), (30, [15, 20, 25, 30])]
)
def test_they_are_four_from_the_middle_up(layers, upper, monkeypatch):
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("side", layers="all")})
    monkeypatch.setattr(type(encoder.backbone), "num_layers", layers)
    assert encoder.upper_layers == upper
