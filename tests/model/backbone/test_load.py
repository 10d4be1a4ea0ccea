"""Loading a backbone: its pooling, its longest text, its digest, and what cannot be loaded."""

import pytest
import torch
from backbones import CASES

from peftrec.errors import UserError
from peftrec.model.backbone import load_backbone, share_backbone
from peftrec.model.backbone.families import (
    FAMILIES,
)
from peftrec.recipe import BackboneConfig

DECODERS = {"Llama", "Qwen3", "GPT-2", "Gemma3"}


ROBERTAS = {"RoBERTa", "XLM-R", "MPNet"}


@pytest.mark.parametrize("family", FAMILIES)
def test_pooling_follows_the_family(load, family):
    assert load(family, None).pooling == ("last" if family in DECODERS else "mean")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_text_is_known(folder, family):
    # RoBERTa's positions begin after the padding's own.
    limit = 62 if family in ROBERTAS else 64
    backbone = load_backbone(BackboneConfig(name=folder(family), dtype="fp32", max_length=limit))
    assert backbone.max_tokens == limit
    ids = torch.full((1, limit), 9)
    assert backbone.run(ids, torch.ones_like(ids), torch.zeros_like(ids)).isfinite().all()
    with pytest.raises(UserError, match=f"backbone.max_length: .* takes at most {limit} tokens; found {limit + 1}"):
        load_backbone(BackboneConfig(name=folder(family), dtype="fp32", max_length=limit + 1))
    unsaid = load_backbone(BackboneConfig(name=folder(family), dtype="fp32"))
    assert unsaid.config.max_length == limit < BackboneConfig(name="a").max_length
    assert share_backbone(unsaid, BackboneConfig(name=folder(family), dtype="fp32")).config.max_length == limit


def test_a_digest_tells_weights_and_quantisations_apart(load):
    digests = {load(family, quantize).digest for family, quantize in CASES}
    assert len(digests) == len(CASES)


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(UserError, match="no such GGUF file"):
        load_backbone(BackboneConfig(name=str(tmp_path / "missing.gguf")))
    with pytest.raises(UserError, match=r"has no config\.json and no GGUF file"):
        load_backbone(BackboneConfig(name=str(tmp_path)))
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="several GGUF files"):
        load_backbone(BackboneConfig(name=str(tmp_path)))
