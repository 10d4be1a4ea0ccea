"""Tiny backbones, each loaded once."""

import pytest
from backbones import LAYERS

from peftrec.model.backbone import load_backbone
from peftrec.model.backbone.families import QUANTIZATIONS, tiny_config, tiny_model, tiny_tokenizer
from peftrec.recipe import BackboneConfig


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """family -> the folder of its tiny model."""
    made = {}

    def make(family):
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            model = tiny_model(tiny_config(family, LAYERS))
            model.save_pretrained(made[family])
            tiny_tokenizer(model.config.pad_token_id).save_pretrained(made[family])
        return str(made[family])

    return make


@pytest.fixture(scope="session")
def load(folder):
    """(family, quantize) -> its backbone, loaded from its folder once."""
    loaded = {}

    def get(family, quantize):
        if (family, quantize) not in loaded:
            config = BackboneConfig(name=folder(family), dtype="fp32", max_length=32, **QUANTIZATIONS[quantize])
            loaded[family, quantize] = load_backbone(config)
        return loaded[family, quantize]

    return get
