"""Bottleneck adapters: where they stand in every family, what they compute, exact gradients, sharing and saving."""

import json

import pytest
import torch
from encoders import (
    ROWS,
    check_joint_gradient,
    check_one_task_alone,
    configured,
    gradients,
    hidden,
    make_encoder,
    parameters,
    perturb,
    rebuilt,
    save_all,
    task_losses,
    vectors,
)
from pairs import every_pair
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from peftrec.errors import UserError
from peftrec.model.adapters.bottleneck import ACTIVATIONS, sublayers
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
FORMS = [(placement, mode) for placement in ("pfeiffer", "houlsby") for mode in ("sequential", "parallel")]
# Family -> the last parts of the paths of the projections out of attention and feed-forward, and of those into them.
PROJECTIONS = {
    "BERT": ("attention.output.dense", "output.dense", "query", "intermediate.dense"),
    "RoBERTa": ("attention.output.dense", "output.dense", "query", "intermediate.dense"),
    "XLM-R": ("attention.output.dense", "output.dense", "query", "intermediate.dense"),
    "ModernBERT": ("attn.Wo", "mlp.Wo", "attn.Wqkv", "mlp.Wi"),
    "DistilBERT": ("attention.out_lin", "ffn.lin2", "attention.q_lin", "ffn.lin1"),
    "MPNet": ("attn.o", "output.dense", "attn.q", "intermediate.dense"),
    "DeBERTa-v2": ("attention.output.dense", "output.dense", "query_proj", "intermediate.dense"),
    "ALBERT": ("attention.dense", "ffn_output", "attention.query", "ffn"),
    "ELECTRA": ("attention.output.dense", "output.dense", "query", "intermediate.dense"),
    "Llama": ("self_attn.o_proj", "mlp.down_proj", "self_attn.q_proj", "mlp.gate_proj"),
    "Qwen3": ("self_attn.o_proj", "mlp.down_proj", "self_attn.q_proj", "mlp.gate_proj"),
    "GPT-2": ("attn.c_proj", "mlp.c_proj", "attn.c_attn", "mlp.c_fc"),
    "Gemma3": ("self_attn.o_proj", "mlp.down_proj", "self_attn.q_proj", "mlp.gate_proj"),
}


def layers_of(family):
    return "all" if family == "ALBERT" else "top-2"


def test_every_family_is_here():
    assert PROJECTIONS.keys() == FAMILIES.keys()
    assert len(FORMS) == 4


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_sublayers_are_found_by_structure(family, quantize):
    backbone = tiny_backbone(family, quantize, layers=3)
    paths = {id(module): path for path, module in backbone.model.named_modules()}
    found = sublayers(backbone, [1, 2] if family != "ALBERT" else [0])
    names = [f"{n}_{kind}" for n in ([0] if family == "ALBERT" else [1, 2]) for kind in ("attention", "feedforward")]
    assert [site.name for site in found] == names
    attention, feedforward, into_attention, into_feedforward = PROJECTIONS[family]
    for site in found:
        last, first = paths[id(site.last)], paths[id(site.first)]
        is_attention = site.name.endswith("attention")
        assert last.endswith(attention if is_attention else feedforward)
        assert ("attention" in last or "attn" in last) is is_attention
        assert first.endswith(into_attention if is_attention else into_feedforward)


@pytest.mark.parametrize(("placement", "mode"), FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_they_compute_what_the_papers_say(family, placement, mode):
    """Against the backbone's own modules wrapped by hand."""
    options = {"placement": placement, "mode": mode, "size": 5, "activation": "gelu", "scale": 2.0}
    config = configured("bottleneck", layers=layers_of(family), **options)
    encoder = make_encoder(tiny_backbone(family, layers=3), {"query": config})
    perturb(encoder, scale=0.3)
    held = {name.removeprefix("query/"): p.detach() for name, p in parameters(encoder).items()}
    by_hand = tiny_backbone(family, layers=3)
    for site in sublayers(by_hand, [1, 2] if family != "ALBERT" else [0]):
        if placement == "pfeiffer" and site.name.endswith("attention"):
            continue
        part = {n.removeprefix(f"{site.name}."): p for n, p in held.items() if n.startswith(f"{site.name}.")}
        assert len(part) == 4
        seen = []

        def keep(_module, inputs, seen=seen):
            seen.append(inputs[0])

        def change(_module, _inputs, output, seen=seen, part=part):
            # DeBERTa projects relative positions with the same module afterwards.
            source = output if mode == "sequential" else seen[0]
            seen.clear()
            low = functional.gelu(functional.linear(source, part["down.weight"], part["down.bias"]))
            return output + 2.0 * functional.linear(low, part["up.weight"], part["up.bias"])

        site.first.register_forward_pre_hook(keep)
        site.last.register_forward_hook(change)
    ids, mask, types = encoder.texts.pad(ROWS)
    with torch.no_grad():
        expected = by_hand.run(ids, mask, types) * mask[..., None]
    assert torch.equal(hidden(encoder, "query"), expected)
    assert not torch.allclose(expected, hidden(encoder, None), atol=1e-2)
    # And through the cached trunk.
    torch.testing.assert_close(vectors(encoder, "query"), by_hand.pool(expected, mask), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize(("placement", "mode"), FORMS)
def test_it_starts_as_the_backbone(placement, mode, sharing):
    config = configured("bottleneck", sharing, placement=placement, mode=mode)
    encoder = make_encoder(tiny_backbone("BERT", layers=3), dict.fromkeys(TASKS, config))
    for task in TASKS:
        assert torch.equal(hidden(encoder, task), hidden(encoder, None))


@pytest.mark.parametrize(
    ("form", "sharing", "run"), every_pair(FORMS, SHARINGS, [("BERT", False), ("DeBERTa-v2", True), ("GPT-2", True)])
)
def test_the_joint_gradient_is_the_sum_of_the_tasks_own(form, sharing, run):
    (placement, mode), (family, recompute) = form, run
    config = configured("bottleneck", sharing, placement=placement, mode=mode, size=6)
    encoder = make_encoder(tiny_backbone(family, layers=3), dict.fromkeys(TASKS, config), recompute=recompute)
    check_joint_gradient(encoder, TASKS, sharing)


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize("family", ["BERT", "GPT-2", "Gemma3"])
def test_recomputation_changes_no_gradient_over_any_weights(family, quantize):
    config = configured("bottleneck", "shared+private", mode="parallel", placement="houlsby", size=6)
    found = []
    for recompute in (False, True):
        encoder = make_encoder(tiny_backbone(family, quantize, 3), dict.fromkeys(TASKS, config), recompute=recompute)
        perturb(encoder)
        torch.stack(task_losses(encoder, TASKS)).sum().backward()
        found.append(gradients(encoder))
    for name, gradient in found[0].items():
        assert gradient.any()
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("sharing", ["private", "shared+private"])
def test_training_one_task_leaves_the_others_private_part_alone(sharing):
    encoder = make_encoder(
        tiny_backbone("BERT", layers=3), dict.fromkeys(TASKS, configured("bottleneck", sharing, size=6))
    )
    perturb(encoder)
    check_one_task_alone(encoder, TASKS, sharing)


@pytest.mark.parametrize(
    ("quantize", "sharing", "family"), every_pair(list(QUANTIZATIONS), SHARINGS, ["BERT", "ALBERT", "Llama"])
)
def test_what_is_saved_is_complete_and_loads_again(family, sharing, quantize, tmp_path):
    config = configured("bottleneck", sharing, layers_of(family), placement="houlsby", size=3, activation="tanh")
    configs = dict.fromkeys(TASKS, config)
    encoder = make_encoder(tiny_backbone(family, quantize, layers=3), configs)
    perturb(encoder)
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone(family, quantize, layers=3), configs, tmp_path)
    tolerance = 1e-6 if quantize != "int8" else 0.05  # rounding activations amplifies the order of a sum
    for task in TASKS:
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=tolerance, rtol=0)
        described = json.loads((tmp_path / task / "adapter_config.json").read_text())
        width = 6 if sharing == "shared+private" else 3
        assert described["peft_type"] == "PEFTREC_BOTTLENECK" and described["size"] == width
        tensors = load_file(tmp_path / task / "adapter_model.safetensors")
        assert len(tensors) == 4 * 2 * (1 if family == "ALBERT" else 2)
        assert {t.shape for n, t in tensors.items() if n.endswith("down.weight")} == {(width, 32)}
    if sharing != "shared":
        assert not torch.allclose(vectors(again, "query"), vectors(again, "interest"))


def test_each_option_changes_what_it_says():
    def sizes(**options):
        config = configured("bottleneck", "private", "all", **options)
        encoder = make_encoder(tiny_backbone("BERT", layers=3), {"query": config})
        return [len(p) for name, p in parameters(encoder).items() if name.endswith("down.weight")]

    assert sizes() == [2, 2, 2]  # 32 / 16, after the feed-forward of 3 layers
    assert sizes(reduction_factor=4) == [8, 8, 8]
    assert sizes(reduction_factor=1000) == [1, 1, 1]
    assert sizes(size=50, placement="houlsby") == [50] * 6
    outputs = []
    for activation in ACTIVATIONS:
        encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("bottleneck", activation=activation)})
        perturb(encoder, scale=0.5)
        outputs.append(vectors(encoder, "query"))
    assert len(outputs) == 4
    assert all(not torch.equal(a, b) for n, a in enumerate(outputs) for b in outputs[:n])


def test_layers_below_the_lowest_come_from_the_cache():
    encoder = make_encoder(tiny_backbone("BERT", layers=4), {"query": configured("bottleneck", layers=[2])})
    assert encoder.trunk == 2
    assert encoder.level("query")[0] == "layer"
    lowest = make_encoder(tiny_backbone("ALBERT", layers=4), {"query": configured("bottleneck", layers="all")})
    assert lowest.level("query")[0] == "none"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "before"}, r"adapter\.options\.placement: .*'pfeiffer' or 'houlsby'; found 'before'"),
        ({"reduction": 4}, r"adapter\.options\.reduction: .* did you mean 'reduction_factor'"),
        ({"reduction_factor": 0}, r"adapter\.options\.reduction_factor: .* greater than or equal to 1; found 0"),
        ({"size": 2.5}, r"adapter\.options\.size: .*; found 2\.5"),
        ({"size": 2, "reduction_factor": 2}, r"adapter\.options: give either size or reduction_factor"),
        ({"scale": "big"}, r"adapter\.options\.scale: .*; found 'big'"),
        ({"scale": float("nan")}, r"adapter\.options\.scale: .*; found nan"),
        ({"activation": "swish"}, r"adapter\.options\.activation: .*; found 'swish'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_encoder(tiny_backbone("BERT"), {"query": configured("bottleneck", **options)})


def test_where_it_cannot_stand_it_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"adapter\.layers: this backbone uses one layer 3 times.*; found top-1"):
        make_encoder(tiny_backbone("ALBERT", layers=3), {"query": configured("bottleneck", layers="top-1")})
    strange = tiny_backbone("BERT")
    for layer in strange.layers:
        layer.output.dense = nn.Identity()
        layer.intermediate.dense = nn.Linear(32, 1)
    with pytest.raises(UserError, match="finds no output projection of the feedforward sublayer in BertLayer"):
        make_encoder(strange, {"query": configured("bottleneck")})
    configs = {"query": configured("bottleneck", layers=[1])}
    save_all(make_encoder(tiny_backbone("BERT"), configs), ["query"], tmp_path)
    for other in (configured("bottleneck", layers=[0]), configured("bottleneck", layers=[1], placement="houlsby")):
        with pytest.raises(UserError, match=r"its adapter does not fit: \S+ is in only one of file and model"):
            rebuilt(tiny_backbone("BERT"), {"query": other}, tmp_path)


def test_it_lives_beside_other_methods_on_one_backbone():
    alone = make_encoder(tiny_backbone("BERT", layers=3), {"query": configured("bottleneck", size=4)})
    configs = {
        "query": configured("bottleneck", size=4),
        "interest": configured("lora", r=2),
        "time": configured("bottleneck", layers="all", mode="parallel"),
        "rest": configured("side", rank=8),
    }
    together = make_encoder(tiny_backbone("BERT", layers=3), configs)
    for encoder in (alone, together):
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in encoder.parameters_by_owner()["query"].values():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    expected = hidden(alone, "query")
    for task in ("interest", "rest", "time", "query", "interest"):
        vectors(together, task)
        torch.testing.assert_close(hidden(together, "query"), expected, atol=1e-6, rtol=0)
    assert torch.equal(hidden(together, None), hidden(alone, None))


def test_a_16_bit_backbone_keeps_its_dtype_and_trains():
    model = tiny_model(tiny_config("BERT")).to(torch.bfloat16)
    backbone = frozen_backbone(model, tiny_tokenizer(0), BackboneConfig(name="BERT", max_length=32))
    configs = dict.fromkeys(TASKS, configured("bottleneck", "shared+private", "all", size=4))
    encoder = make_encoder(backbone, configs)
    perturb(encoder)
    assert hidden(encoder, "query").dtype == torch.bfloat16
    assert {parameter.dtype for parameter in parameters(encoder).values()} == {torch.float32}
    torch.stack(task_losses(encoder, TASKS)).sum().backward()
    assert all(gradient.any() for gradient in gradients(encoder).values())
