"""Methods by name, and different methods for the tasks of one backbone."""

import pytest
import torch
from encoders import (
    ROWS,
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

from peftrec.errors import UserError
from peftrec.model.adapters import METHODS, attach, find_method
from peftrec.model.adapters.peft import peft_methods
from peftrec.model.adapters.side import SideAdapter
from peftrec.model.backbone.families import tiny_backbone, tiny_config, tiny_model

# What fits a width of 32; the other methods' defaults do.
OPTIONS = {
    "c3a": {"block_size": 8},
    "miss": {"r": 4},
    "shira": {"r": 2},
    "road": {"group_size": 8},
    "vblora": {"vector_length": 16, "num_vectors": 16, "topk": 2},
    "waveft": {"n_frequency": 64},
}


def test_peft_has_many_methods_of_the_layers():
    assert len(peft_methods()) >= 30
    assert {"vera", "oft", "hra", "loha", "lokr", "boft", "fourierft", "ln_tuning", "randlora"} <= set(peft_methods())


@pytest.mark.parametrize("method", sorted(set(peft_methods()) | {"dora"}))
def test_every_peft_method_trains_saves_and_loads_by_its_name_alone(method, tmp_path):
    configs = dict.fromkeys(["query", "key"], configured(method, **OPTIONS.get(method, {})))
    backbone = tiny_backbone("BERT", layers=3)
    before = {name: p.clone() for name, p in backbone.model.named_parameters()}
    encoder = make_encoder(backbone, configs)
    perturb(encoder)
    for loss in task_losses(encoder, ["query", "key"]):
        loss.backward()
    assert parameters(encoder)
    reached = {name.split("/")[0] for name, g in gradients(encoder).items() if g.any()}
    assert reached == {"query", "key"}
    save_all(encoder, ["query", "key"], tmp_path)
    again = rebuilt(tiny_backbone("BERT", layers=3), configs, tmp_path)
    plain = hidden(make_encoder(tiny_backbone("BERT", layers=3), {"t": configured("head_only")}), None)
    for task in configs:
        assert not torch.allclose(hidden(encoder, task), plain, atol=1e-5)
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=1e-5, rtol=0)
    loaded = plain_hidden(encoder, tiny_model(tiny_config("BERT", 3)), tmp_path / "query")
    torch.testing.assert_close(loaded, hidden(encoder, "query"), atol=1e-5, rtol=0)
    after = dict(backbone.model.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


# Everything at once, over one backbone: other ranks, other types, other layers, pooled methods beside them.
TOGETHER = {
    "a": configured("lora", r=4),
    "ab": configured("lora", r=8, use_rslora=True),
    "all": configured("lora", layers="all"),
    "query": configured("ia3"),
    "key": configured("adalora", "shared+private"),
    "value": configured("vera"),
    "norm": configured("ln_tuning"),
    "dora": configured("dora"),
    "bottleneck": configured("bottleneck", "shared+private"),
    "prefix": configured("prefix", layers="all", num_virtual_tokens=3),
    "one": configured("lora", "shared"),
    "two": configured("lora", "shared"),
    "side": configured("side", "shared+private", rank=8),
    "head": configured("head_only", layers="all"),
}


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_any_methods_live_on_one_backbone_and_compute_what_each_computes_alone(quantize, tmp_path):
    encoder = make_encoder(tiny_backbone("BERT", quantize, layers=4), TOGETHER)
    perturb(encoder)
    assert encoder.trunk == 0  # task `all` touches the lowest layer
    before = {task: vectors(encoder, task) for task in TOGETHER}
    for task in reversed(TOGETHER):
        assert torch.equal(vectors(encoder, task), before[task]), task
    for task, config in TOGETHER.items():
        alone = make_encoder(tiny_backbone("BERT", quantize, layers=4), {task: config})
        of, owners = encoder.adapter_of(task), encoder.adapter_of(task).owners_of(task)
        with torch.no_grad():
            for own, owner in zip(alone.adapter_of(task).owners, owners, strict=True):
                held = alone.adapter_of(task).parameters_of(own).values()
                for mine, other in zip(held, of.parameters_of(owner).values(), strict=True):
                    mine.copy_(other)
        # Alone, layers 2 and 3 run over cached states; together, all layers run.
        levels = {"side": ("pooled",) * 2, "head": ("pooled",) * 2, "all": ("none",) * 2, "prefix": ("none",) * 2}
        assert (alone.level(task)[0], encoder.level(task)[0]) == levels.get(task, ("layer", "none"))
        torch.testing.assert_close(vectors(alone, task), before[task], atol=1e-6, rtol=0)
    save_all(encoder, list(TOGETHER), tmp_path)
    again = rebuilt(tiny_backbone("BERT", quantize, layers=4), TOGETHER, tmp_path)
    for task in TOGETHER:
        torch.testing.assert_close(vectors(again, task), before[task], atol=1e-5, rtol=0)


def test_the_joint_gradient_of_different_methods_is_the_sum_of_their_own():
    tasks = [task for task in TOGETHER if task != "head"]
    encoder = make_encoder(tiny_backbone("BERT", layers=4), TOGETHER)
    perturb(encoder)
    torch.stack(task_losses(encoder, tasks)).sum().backward()
    joint = gradients(encoder)
    total = {name: torch.zeros_like(g) for name, g in joint.items()}
    for number in range(len(tasks)):
        task_losses(encoder, tasks)[number].backward()
        for name, gradient in gradients(encoder).items():
            total[name] += gradient
    assert all(gradient.any() for gradient in joint.values())
    for name, gradient in joint.items():
        torch.testing.assert_close(gradient, total[name], atol=1e-6, rtol=1e-6, msg=name)


def test_the_pooled_cache_holds_the_plain_backbone_even_while_an_adapter_was_active():
    encoder = make_encoder(tiny_backbone("BERT"), {"deep": configured("lora", layers="all"), "side": TOGETHER["side"]})
    perturb(encoder)
    vectors(encoder, "deep")
    row = encoder.texts.add("w40 w41 w42")
    encoder.update()
    plain = tiny_backbone("BERT")
    with torch.no_grad():
        expected = plain.pooled_layers(*encoder.texts.pad(ROWS[:1] + row))
    assert torch.equal(encoder.caches["pooled"].states(ROWS[:1] + row), expected)


def test_tasks_of_equal_configuration_share_one_adapter():
    adapters = attach(tiny_backbone("BERT"), {"a": configured("lora"), "b": configured("lora"), "c": configured("ia3")})
    assert adapters["a"] is adapters["b"]
    assert adapters["a"] is not adapters["c"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("lorra", "adapter.method: no method 'lorra'; did you mean 'lora'?"),
        ("vora", "did you mean"),
        ("prompt_tuning", "adapter.method: PEFT's prompt_tuning needs more than modules inside the layers"),
        ("poly", "PEFT's poly needs more"),
        ("xlora", "PEFT's xlora needs more"),
        ("nowhere:Thing", "adapter.method: cannot import 'nowhere:Thing'"),
    ],
)
def test_unknown_methods_are_refused(method, message):
    with pytest.raises(UserError) as raised:
        find_method(method)
    assert message in str(raised.value)


def test_methods_are_found_by_name_in_any_case_and_by_module():
    assert find_method("VeRA").keywords == {"kind": "VERA"}
    assert find_method("LoRA") is METHODS["lora"]
    assert find_method("peftrec.model.adapters.side:SideAdapter") is SideAdapter
    assert all(find_method(name) is made for name, made in METHODS.items())


def test_full_beside_another_method_is_refused():
    with pytest.raises(UserError, match="method full changes the backbone under every other method"):
        attach(tiny_backbone("BERT"), {"a": configured("full", "shared", layers="all"), "b": configured("lora")})


@pytest.mark.parametrize("layers", [[0, 7], "top-5"])
def test_layers_beyond_the_model_are_refused(layers):
    with pytest.raises(UserError, match=r"adapter\.layers: the backbone has"):
        attach(tiny_backbone("BERT"), {"a": configured("lora", layers=layers)})


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"full", "head_only"}))
def test_a_part_begins_the_same_whichever_tasks_are_beside_it(method):
    sharing = "private" if method == "dora" else "shared+private"  # its parts cannot be composed

    def begun(*tasks):
        configs = dict.fromkeys(tasks, configured(method, sharing, "all"))
        return parameters(make_encoder(tiny_backbone("BERT", layers=3), configs))

    one, two = begun("query"), begun("time", "query")
    assert {name.split("/")[0] for name in one} == {"query", *sharing.split("+")} - {"private"}
    assert [name for name, p in one.items() if not torch.equal(p, two[name])] == []
