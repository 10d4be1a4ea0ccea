"""Prefix tuning: as plain PEFT computes it, exact gradients, sharing, refused where it has no effect."""

import json

import pytest
import torch
from encoders import (
    check_joint_gradient,
    check_one_task_alone,
    configured,
    gradients,
    hidden,
    make_encoder,
    parameters,
    perturb,
    plain_hidden,
    rebuilt,
    save_all,
    task_losses,
    vectors,
)
from pairs import every_pair
from safetensors.torch import load_file, save_file

from peftrec.errors import UserError
from peftrec.model.backbone import frozen_backbone
from peftrec.model.backbone.families import (
    FAMILIES,
    QUANTIZATIONS,
    tiny_backbone,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
)
from peftrec.recipe import BackboneConfig

TASKS = ["query", "interest", "interest2"]
SHARINGS = ["shared", "private", "shared+private"]
IGNORING = ["ModernBERT", "DistilBERT", "MPNet", "DeBERTa-v2", "ALBERT"]
TAKING = [family for family in FAMILIES if family not in IGNORING]
PROJECTED = {"num_virtual_tokens": 3, "prefix_projection": True, "encoder_hidden_size": 7}


def prefixes(sharing="private", **options):
    return dict.fromkeys(TASKS, configured("prefix", sharing, "all", **{"num_virtual_tokens": 3, **options}))


def plain_model(family, quantize):
    """Weights as peftrec holds them; the token table in the dtype that plain Transformers gives it."""
    model = tiny_backbone(family, quantize, layers=3).model
    model.get_input_embeddings().weight.data = model.get_input_embeddings().weight.data.float()
    return model


@pytest.mark.parametrize(
    ("family", "quantize"),
    [("BERT", kind) for kind in QUANTIZATIONS]
    + [(family, kind) for family in TAKING if family != "BERT" for kind in (None, "nf4")],
)
def test_the_composed_export_is_the_same_in_plain_peft(family, quantize, tmp_path):
    configs = prefixes("shared+private", **PROJECTED)
    encoder = make_encoder(tiny_backbone(family, quantize, layers=3), configs)
    perturb(encoder, scale=0.3)
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone(family, quantize, layers=3), configs, tmp_path)
    for task in TASKS:
        described = json.loads((tmp_path / task / "adapter_config.json").read_text())
        assert described["num_virtual_tokens"] == 6 and not described["prefix_projection"]
        (table,) = load_file(tmp_path / task / "adapter_model.safetensors").values()
        assert len(table) == 6
        expected = hidden(encoder, task)
        assert torch.equal(vectors(again, task), vectors(encoder, task))
        plain = plain_hidden(encoder, plain_model(family, quantize), tmp_path / task)
        torch.testing.assert_close(plain, expected, atol=1e-5, rtol=0)
        assert not torch.allclose(expected, hidden(encoder, None), atol=1e-2)
    assert not torch.allclose(hidden(encoder, "query"), hidden(encoder, "interest"), atol=1e-3)


@pytest.mark.parametrize(
    ("sharing", "run", "options"),
    every_pair(SHARINGS, [("BERT", False), ("BERT", True), ("Llama", True)], [{}, PROJECTED]),
)
def test_the_joint_gradient_is_the_sum_of_the_tasks_own(sharing, run, options):
    family, recompute = run
    encoder = make_encoder(tiny_backbone(family, layers=3), prefixes(sharing, **options), recompute=recompute)
    check_joint_gradient(encoder, TASKS, sharing)


@pytest.mark.parametrize("sharing", ["private", "shared+private"])
def test_training_one_task_leaves_the_others_private_part_alone(sharing):
    encoder = make_encoder(tiny_backbone("BERT", layers=3), prefixes(sharing, **PROJECTED))
    check_one_task_alone(encoder, TASKS, sharing)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("options", [{}, PROJECTED], ids=["plain", "projected"])
def test_what_is_saved_is_complete_and_loads_again(options, sharing, tmp_path):
    configs = prefixes(sharing, **options)
    encoder = make_encoder(tiny_backbone("GPT-2", layers=3), configs)
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone("GPT-2", layers=3), configs, tmp_path)
    for task in TASKS:
        assert torch.equal(vectors(again, task), vectors(encoder, task))


def test_options_are_pefts():
    encoder = make_encoder(tiny_backbone("BERT", layers=3), {"query": configured("prefix", layers="all")})
    assert {name: tuple(p.shape) for name, p in parameters(encoder).items()} == {
        "query/embedding.weight": (10, 3 * 2 * 32)
    }
    zero = make_encoder(tiny_backbone("BERT", layers=3), prefixes(init_weights="zero"))
    assert not any(p.any() for p in parameters(zero).values())
    projected = make_encoder(tiny_backbone("BERT", layers=3), prefixes(**PROJECTED))
    shapes = {name.split("/")[1]: tuple(p.shape) for name, p in parameters(projected).items()}
    assert shapes["embedding.weight"] == (3, 32)
    assert shapes["transform.0.weight"] == (7, 32) and shapes["transform.2.weight"] == (192, 7)


def test_grouped_keys_and_values_are_as_narrow_as_the_models():
    encoder = make_encoder(tiny_backbone("Llama", layers=3), prefixes())
    assert {tuple(p.shape) for p in parameters(encoder).values()} == {(3, 3 * 2 * 16)}  # 2 of 4 heads, 8 wide


@pytest.mark.parametrize("family", IGNORING)
def test_where_it_has_no_effect_it_is_refused(family):
    with pytest.raises(UserError, match=r"prefix has no effect on .*: Transformers ignores past_key_values there"):
        make_encoder(tiny_backbone(family), prefixes())


def test_an_effect_is_not_taken_on_trust(monkeypatch):
    """A forward that names past_key_values and ignores them, or fails with them."""
    backbone = tiny_backbone("BERT")
    forward = type(backbone.model).forward

    def ignoring(self, input_ids=None, attention_mask=None, past_key_values=None, **rest):
        return forward(self, input_ids=input_ids, attention_mask=attention_mask[:, -input_ids.shape[1] :])

    monkeypatch.setattr(type(backbone.model), "forward", ignoring)
    with pytest.raises(UserError, match="prefix has no effect on BertModel"):
        make_encoder(backbone, prefixes())

    def failing(self, input_ids=None, attention_mask=None, past_key_values=None, **rest):
        if past_key_values is not None:
            raise RuntimeError("shapes do not fit\nmore")
        return forward(self, input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(type(backbone.model), "forward", failing)
    with pytest.raises(UserError, match=r"prefix does not work on BertModel: shapes do not fit$"):
        make_encoder(backbone, prefixes())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"layers": "top-1"}, {}, r"adapter\.layers: .* layers: all; found top-1"),
        ({}, {"num_virtual_token": 3}, r"adapter\.options\.num_virtual_token: .* did you mean 'num_virtual_tokens'"),
        ({}, {"num_virtual_tokens": 0}, r"num_virtual_tokens: must be a whole number of at least 1; found 0"),
        ({}, {"num_virtual_tokens": True}, r"num_virtual_tokens: must be a whole number of at least 1; found True"),
        ({}, {"task_type": "CAUSAL_LM"}, r"adapter\.options\.task_type"),
        ({}, {"num_virtual_tokens": 40}, r"takes 64 tokens, the prefix has 40: at most 24; found 32"),
        ({"sharing": "shared+private"}, {"num_virtual_tokens": 20}, r"the prefix has 40: at most 24; found 32"),
    ],
)
def test_what_cannot_be_is_refused(changes, options, message):
    config = configured("prefix", **{"layers": "all", **changes}, **options)
    with pytest.raises(UserError, match=message):
        make_encoder(tiny_backbone("BERT"), {"query": config})


def test_a_prefix_of_another_backbone_is_refused(tmp_path):
    encoder = make_encoder(tiny_backbone("BERT", layers=3), {"query": prefixes()["query"]})
    encoder.adapter_of("query").save("query", tmp_path)
    other = make_encoder(tiny_backbone("BERT", layers=2), {"query": prefixes()["query"]})
    with pytest.raises(UserError, match=r"its prefix does not fit the backbone: \(3, 192\), not \(tokens, 128\)"):
        other.adapter_of("query").load("query", tmp_path)
    save_file({"else": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match="its prefix does not fit the backbone"):
        encoder.adapter_of("query").load("query", tmp_path)


def test_it_lives_beside_other_methods():
    configs = {"query": prefixes()["query"], "interest": configured("lora"), "rest": configured("side")}
    encoder = make_encoder(tiny_backbone("BERT", layers=3), configs)
    perturb(encoder)
    alone = make_encoder(tiny_backbone("BERT", layers=3), {"query": prefixes()["query"]})
    with torch.no_grad():
        for name, parameter in alone.parameters_by_owner()["query"].items():
            parameter.copy_(encoder.parameters_by_owner()["query"][name])
    for task in ("interest", "query", "rest", "query"):
        vectors(encoder, task)
        assert torch.equal(vectors(encoder, "query"), vectors(alone, "query"))
    assert encoder.trunk == 0


def test_a_16_bit_backbone_keeps_its_dtype_and_trains():
    model = tiny_model(tiny_config("BERT")).to(torch.bfloat16)
    backbone = frozen_backbone(model, tiny_tokenizer(0), BackboneConfig(name="BERT", max_length=32))
    configs = dict.fromkeys(TASKS, configured("prefix", "shared+private", "all", num_virtual_tokens=3))
    encoder = make_encoder(backbone, configs)
    perturb(encoder)
    assert hidden(encoder, "query").dtype == torch.bfloat16
    assert {parameter.dtype for parameter in parameters(encoder).values()} == {torch.float32}
    torch.stack(task_losses(encoder, TASKS)).sum().backward()
    assert all(gradient.any() for gradient in gradients(encoder).values())
