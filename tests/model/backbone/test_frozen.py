import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftrec.errors import UserError
from peftrec.model.backbone import load_backbone
from peftrec.model.backbone.families import (
    FAMILIES,
    QUANTIZATIONS,
    tiny_backbone,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
)
from peftrec.recipe import BackboneConfig

LAYERS = 3
CASES = [(family, quantize) for family in FAMILIES for quantize in QUANTIZATIONS]
DECODERS = {"Llama", "Qwen3", "GPT-2", "Gemma3"}
ROBERTAS = {"RoBERTa", "XLM-R", "MPNet"}
every_case = pytest.mark.parametrize(("family", "quantize"), CASES, ids=[f"{f}-{q}" for f, q in CASES])


def test_all_families_and_quantisations_are_here():
    assert len(CASES) == 13 * 5


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def load(folder):
    """(family, quantize) -> its backbone, loaded from its folder once."""
    loaded = {}

    def get(family, quantize):
        if (family, quantize) not in loaded:
            config = BackboneConfig(name=folder(family), dtype="fp32", max_length=32, **QUANTIZATIONS[quantize])
            loaded[family, quantize] = load_backbone(config)
        return loaded[family, quantize]

    return get


def tokens(backbone, *texts):
    out = backbone.tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=True)
    return out.input_ids, out.attention_mask, out.token_type_ids


def vectors(backbone, *texts):
    ids, mask, types = tokens(backbone, *texts)
    with torch.no_grad():
        return backbone.pool(backbone.run(ids, mask, types), mask)


TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13", "w7", "w3 w5 w8"]


@every_case
def test_a_text_has_the_same_vector_alone_and_in_any_batch(load, family, quantize):
    backbone = load(family, quantize)
    together = vectors(backbone, *TEXTS)
    assert together.shape == (3, 32) and together.dtype == torch.float32
    assert together.std(0).mean() > 0.05  # the texts differ
    for number, text in enumerate(TEXTS):
        torch.testing.assert_close(vectors(backbone, text)[0], together[number], atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors(backbone, *TEXTS[::-1]).flip(0), together, atol=1e-5, rtol=0)


@every_case
def test_cut_and_injected_layers_give_the_uncut_output(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    present = mask.bool()
    with torch.no_grad():
        whole = backbone.run(ids, mask, types)[present]
        if family == "ALBERT":
            assert backbone.layers is None
            with pytest.raises(ValueError, match="cannot be cut"):
                backbone.run(ids, mask, types, stop=1)
            return
        for start in range(1, LAYERS):
            states = backbone.run(ids, mask, types, stop=start)
            assert torch.equal(backbone.run(ids, mask, types, states=states, start=start)[present], whole)
            assert not torch.equal(states[present], whole)
        assert torch.equal(backbone.run(ids, mask, types)[present], whole)  # and everything is put back


@every_case
def test_pooled_layers_end_in_the_output(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    with torch.no_grad():
        pooled = backbone.pooled_layers(ids, mask, types)
    assert pooled.shape == (3, LAYERS + 1, 32)
    torch.testing.assert_close(pooled[:, -1], vectors(backbone, *TEXTS), atol=1e-6, rtol=0)


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


@every_case
def test_gradients_pass_after_a_forward_without_and_moving_changes_nothing(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    before = vectors(backbone, *TEXTS)
    states = backbone.model.get_input_embeddings()(ids).float().detach().requires_grad_()
    hidden = (
        backbone.model(inputs_embeds=states, attention_mask=mask).last_hidden_state
        if backbone.layers is None
        else backbone.run(ids, mask, types, states=states, start=0)
    )
    hidden.square().sum().backward()
    backbone.model.to("cpu")  # PEFT and Accelerate move models that are where they should be
    assert states.grad.abs().sum() > 0
    assert torch.equal(vectors(backbone, *TEXTS), before)


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


def test_loading_from_python_is_quiet_and_leaves_the_libraries_as_they_were():
    script = """if True:
        import logging
        from transformers.utils import logging as theirs
        from peftrec.model.backbone import load_backbone
        from peftrec.recipe import BackboneConfig

        load_backbone(BackboneConfig(name="sentence-transformers/all-MiniLM-L6-v2", quantize="nf4"))
        print(theirs.is_progress_bar_enabled(), logging.getLogger("bitsandbytes").level)
    """
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("True 0\n", "")
