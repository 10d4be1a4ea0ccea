"""The key: whatever the states depend on is in it, and what they do not depend on is not."""

import copy

import pytest
import torch

from peftrec.model.backbone import frozen_backbone
from peftrec.model.backbone.families import random_backbone, tiny_backbone, tiny_config, tiny_model
from peftrec.model.cache import key as module
from peftrec.model.cache.key import describe_key, key_name, tokenizer_digest


def name_of(backbone=None, level="layer", layer=1, storage=torch.float32):
    return key_name(describe_key(backbone or tiny_backbone("BERT"), level, layer, storage))


def other_weights():
    backbone = tiny_backbone("BERT")
    return frozen_backbone(tiny_model(backbone.model.config, seed=1), backbone.tokenizer, backbone.config)


def other_tokenizer():
    from tokenizers.normalizers import Lowercase

    backbone = tiny_backbone("BERT")
    backbone.tokenizer = copy.deepcopy(backbone.tokenizer)
    backbone.tokenizer.backend_tokenizer.normalizer = Lowercase()
    return backbone


def other_dtype():
    backbone = tiny_backbone("BERT")
    backbone.dtype = torch.bfloat16
    return backbone


def other_configuration():
    config = tiny_config("BERT")
    config.layer_norm_eps = 1e-3
    return random_backbone(config, "BERT")


CHANGES = {
    "weights": {"backbone": other_weights},
    "configuration": {"backbone": other_configuration},
    "family": {"backbone": lambda: tiny_backbone("ELECTRA")},
    "quantisation": {"backbone": lambda: tiny_backbone("BERT", "nf4")},
    "doubly quantised": {"backbone": lambda: tiny_backbone("BERT", "nf4+double")},
    "other bits": {"backbone": lambda: tiny_backbone("BERT", "int8")},
    "compute dtype": {"backbone": other_dtype},
    "storage dtype": {"storage": torch.float16},
    "tokenizer": {"backbone": other_tokenizer},
    "level": {"level": "pooled"},
    "layer": {"layer": 2},
}


def test_equal_things_have_equal_keys_and_every_change_another_one():
    names = {"": name_of()} | {
        what: name_of(**{k: v() if callable(v) else v for k, v in change.items()}) for what, change in CHANGES.items()
    }
    assert len(set(names.values())) == len(CHANGES) + 1 == 12
    assert name_of() == names[""]


def test_where_texts_are_cut_is_no_part_of_it():
    assert name_of(tiny_backbone("BERT", max_length=16)) == name_of()


def test_pooling_counts_where_states_are_pooled():
    mean, last = (tiny_backbone("BERT", pooling=pooling) for pooling in ("mean", "last"))
    assert name_of(mean, "pooled") != name_of(last, "pooled")
    assert name_of(mean, "layer") == name_of(last, "layer")


@pytest.mark.parametrize(
    ("package", "quantize"), [("torch", None), ("transformers", None), ("bitsandbytes", "nf4"), ("bitsandbytes", None)]
)
def test_minor_releases_of_what_computes_miss(monkeypatch, package, quantize):
    backbone = tiny_backbone("BERT", quantize)
    before, installed = name_of(backbone), module.version

    def pretend(found):
        monkeypatch.setattr(module, "version", lambda name: found if name == package else installed(name))
        return name_of(backbone)

    major, minor = installed(package).split(".")[:2]
    assert pretend(f"{major}.{minor}.99") == before
    counts = package != "bitsandbytes" or quantize is not None
    assert (pretend(f"{major}.{int(minor) + 1}.0") != before) is counts


def test_a_tokenizer_keeps_its_digest_while_it_is_used():
    tokenizer = copy.deepcopy(tiny_backbone("BERT").tokenizer)
    before = tokenizer_digest(tokenizer)
    tokenizer(["w1 w2 w3"], truncation=True, max_length=4, padding="max_length")
    assert tokenizer_digest(tokenizer) == before


def test_a_tokenizer_without_a_rust_core_has_a_digest():
    class Slow:
        special_tokens_map = {"pad_token": "[PAD]"}  # noqa: RUF012

        def __init__(self, words):
            self.words = words

        def get_vocab(self):
            return {word: n for n, word in enumerate(self.words)}

    one, two, three = (tokenizer_digest(Slow(words)) for words in ("abc", "abc", "acb"))
    assert one == two != three
