"""The cached frozen part equals what the backbone gives."""

import numpy as np
import pytest
import torch
from shop import MINILM

from peftrec.backbone import load_backbone
from peftrec.cache.states import StateCache
from peftrec.data.texts import TextTable
from peftrec.recipe import BackboneConfig


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(BackboneConfig(name=MINILM, dtype="fp32"))


def table(backbone, texts):
    made = TextTable()
    for text in texts:
        made.add(text)
    made.tokenize(backbone.tokenizer, 32, backbone.pad_id)
    return made


TEXTS = ["one", "two words", "a somewhat longer text of several words", "四个汉字", "the end"]


@pytest.mark.parametrize("level", ["pooled", "layer"])
def test_cached_states_are_the_backbones_states(backbone, level):
    texts = table(backbone, TEXTS)
    cache = StateCache(backbone, texts, level, 4)
    cache.update()
    for row in range(len(TEXTS)):
        ids, mask, types = texts.pad(np.array([row]))
        if level == "pooled":
            expected = backbone.pooled_layers(ids, mask, types)
            found = cache.states(np.array([row]))
        else:
            expected = backbone.run(ids, mask, types, stop=4)
            found = cache.states(np.array([row]))
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("level", ["pooled", "layer"])
def test_texts_added_later_are_computed_and_nothing_else(backbone, level, monkeypatch):
    texts = table(backbone, TEXTS)
    cache = StateCache(backbone, texts, level, 4)
    cache.update()
    before = cache.states(np.arange(len(TEXTS))).clone()
    texts.add("a new text")
    texts.tokenize(backbone.tokenizer, 32, backbone.pad_id)
    seen = []
    forward = backbone.model.forward
    monkeypatch.setattr(backbone.model, "forward", lambda **k: seen.append(len(k["input_ids"])) or forward(**k))
    cache.update()
    cache.update()
    assert seen == [1]
    assert torch.equal(cache.states(np.arange(len(TEXTS))), before)


def test_a_vector_does_not_depend_on_its_batch(backbone):
    texts = table(backbone, TEXTS * 20)
    cache = StateCache(backbone, texts, "pooled", 6)
    cache.update()
    ids, mask, types = texts.pad(np.array([1]))
    with torch.no_grad():
        alone = backbone.pool(backbone.run(ids, mask, types), mask)[0]
    torch.testing.assert_close(cache.states(np.array([1]))[0, -1], alone, atol=1e-5, rtol=0)
