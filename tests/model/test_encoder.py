"""The adapted encoder: one vector a text whatever its batch, and a cache level with its reason."""

import numpy as np
import pytest
import torch
from encoders import ROWS, configured, gradients, make_encoder, perturb

from peftrec.model.backbone.families import tiny_backbone


@pytest.mark.parametrize("method", ["lora", "side"])
def test_a_text_has_one_vector_whatever_is_encoded_with_it(method):
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured(method)})
    perturb(encoder)
    with torch.no_grad():
        together = encoder.encode(ROWS, "query")
        order = np.array([4, 1, 1, 0])
        torch.testing.assert_close(encoder.encode(order, "query"), together[order], atol=1e-5, rtol=0)
        encoder.token_budget = 8  # a text or two at a time
        torch.testing.assert_close(encoder.encode(ROWS, "query"), together, atol=1e-5, rtol=0)
        assert encoder.encode(ROWS[:0], "query").shape == (0, together.shape[1])


@pytest.mark.parametrize(
    ("family", "config", "level", "why"),
    [
        ("BERT", configured("side"), "pooled", "side reads the frozen layers' pooled states"),
        ("BERT", configured("lora", layers="top-1"), "layer", "layer 1 is the lowest that an adapter touches"),
        ("BERT", configured("lora", layers="all"), "none", "an adapter touches layer 0"),
        ("ALBERT", configured("lora", layers="all"), "none", "this backbone uses one layer many times"),
    ],
)
def test_what_is_cached_follows_the_lowest_adapted_layer(family, config, level, why):
    encoder = make_encoder(tiny_backbone(family), {"query": config})
    found, reason = encoder.level("query")
    assert found == level and reason.startswith(why)
    assert set(encoder.caches) == ({level} - {"none"})


@pytest.mark.parametrize("common", [False, True])
def test_many_texts_are_read_some_at_a_time_with_the_same_gradients(common, monkeypatch):
    found, rows = [], {"interest": ROWS, "query": ROWS[::2]}
    for most in (2048, 2):
        monkeypatch.setattr("peftrec.model.encoder.POOLED_ROWS", most)
        encoder = make_encoder(tiny_backbone("BERT"), dict.fromkeys(rows, configured("side", "shared+private", rank=4)))
        perturb(encoder)
        with encoder.common_part_once(rows if common else {}):
            vectors = [encoder.encode(of, task) for task, of in rows.items()]
        sum(of.square().sum() for of in vectors).backward()
        found.append(([of.detach() for of in vectors], gradients(encoder)))
    assert len(found[0][1]) > 8
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
