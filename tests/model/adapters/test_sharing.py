"""Encoders of several runs over one model in memory: each gives what it gives alone, and leaves nothing behind."""

import gc
import weakref

import pytest
import torch
from encoders import configured, make_encoder, perturb, vectors

from peftrec.errors import UserError
from peftrec.model.adapters import METHODS, attach
from peftrec.model.backbone import load, share_backbone
from peftrec.model.backbone.families import tiny_backbone

TASKS = ["query", "interest"]
SHARED = [method for method in METHODS if method != "full"]


def config_of(method):
    return configured(method, layers="all" if method == "prefix" else "top-2")


def encoder_of(backbone, method, seed):
    made = make_encoder(backbone, dict.fromkeys(TASKS, config_of(method)))
    perturb(made, seed)
    return made


def modules_and_hooks(model):
    return [(m, list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]


@pytest.mark.parametrize("quantize", [None, "nf4", "int8"])
def test_every_two_methods_share_a_backbone_and_give_what_they_give_alone(quantize):
    alone = {
        (method, seed): [vectors(encoder_of(tiny_backbone("BERT", quantize, layers=3), method, seed), t) for t in TASKS]
        for method in SHARED
        for seed in (1, 2)
    }
    base = tiny_backbone("BERT", quantize, layers=3)
    vectors(make_encoder(base, {"t": configured("head_only")}), "t")
    plain = modules_and_hooks(base.model)
    encoders = {key: encoder_of(share_backbone(base, base.config), *key) for key in alone}
    assert len(encoders) == 2 * len(SHARED) == 16
    assert all(encoder.backbone.model is base.model for encoder in encoders.values())
    for number, task in [(0, TASKS[0]), (1, TASKS[1]), (0, TASKS[0])]:  # the methods in turn, task by task
        for key, encoder in encoders.items():
            assert torch.equal(vectors(encoder, task), alone[key][number]), (key, task)
            assert modules_and_hooks(base.model) == plain, key


@pytest.mark.parametrize("method", SHARED)
def test_an_encoder_that_is_dropped_is_freed_though_its_backbone_stays(method):
    base = tiny_backbone("BERT", layers=3)
    encoder = encoder_of(share_backbone(base, base.config), method, 1)
    vectors(encoder, "query")
    adapter = weakref.ref(encoder.adapter_of("query"))
    del encoder
    gc.collect()
    assert adapter() is None


def test_an_error_inside_a_forward_leaves_the_backbone_plain():
    base = tiny_backbone("BERT", layers=3)
    encoder = encoder_of(base, "lora", 1)
    plain = modules_and_hooks(base.model)
    inside = []

    def interrupted(*_):
        inside.append(modules_and_hooks(base.model))
        raise KeyboardInterrupt

    hook = base.layers[-1].register_forward_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        vectors(encoder, "query")
    hook.remove()
    assert inside != [plain]
    assert modules_and_hooks(base.model) == plain


def test_full_takes_no_backbone_that_is_shared_and_gives_none_away():
    base, full = tiny_backbone("BERT"), {"t": configured("full", "shared", "all")}
    with pytest.raises(UserError, match=r"adapter\.method: full changes the backbone's weights, which other runs use"):
        attach(share_backbone(base, base.config), full)
    assert not any(p.requires_grad for p in base.model.parameters())
    attach(base, full)
    with pytest.raises(UserError, match="its weights are no longer those that were loaded: method full"):
        share_backbone(base, base.config)


def test_runs_whose_attention_is_computed_differently_share_no_backbone(monkeypatch):
    monkeypatch.setattr(load, "SHORT", 48)
    base = tiny_backbone("BERT", max_length=32)
    longer = base.config.model_copy(update={"max_length": 49})
    with pytest.raises(UserError, match=r"all cut texts at 48 tokens or fewer.*; found 49, and 32 of the backbone"):
        share_backbone(base, longer)
    shared = share_backbone(base, base.config.model_copy(update={"max_length": 8, "pooling": "cls"}))
    assert (shared.pooling, shared.config.max_length, shared.lock) == ("cls", 8, base.lock)
    assert (base.pooling, base.config.max_length, base.shared) == ("mean", 32, False)
