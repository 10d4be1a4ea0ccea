"""LoRA, IA3 and their kin for several tasks at once: exact gradients, exact exports, options, targets."""

import json
import os
import subprocess
import sys

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
    plain_hidden,
    rebuilt,
    save_all,
    task_losses,
    vectors,
)
from safetensors.torch import load_file
from shop import MINILM

from peftrec.errors import UserError
from peftrec.model.backbone import load_backbone
from peftrec.model.backbone.families import QUANTIZATIONS, tiny_backbone
from peftrec.recipe import BackboneConfig

TASKS = ["query", "interest", "interest2"]
MODES = [
    ("lora", "shared"),
    ("lora", "private"),
    ("lora", "shared+private"),
    ("dora", "private"),
    ("ia3", "shared"),
    ("ia3", "private"),
    ("ia3", "shared+private"),
    ("adalora", "shared"),
    ("adalora", "private"),
    ("adalora", "shared+private"),
    ("vera", "private"),
]
# All names that have collided with PEFT's substrings or with modules of BERT and of torch, and others that are allowed.
NAMES = [
    "query",
    "key",
    "value",
    "a",
    "ab",
    "interest",
    "interest2",
    "möbel",
    "好み",
    "train",
    "items",
    "layer",
    "lora_A",
]
LORA_OPTIONS = {
    "plain": {},
    "rslora, patterns, bias": {
        "use_rslora": True,
        "rank_pattern": {"query": 3, "3.attention.self.value": 5},
        "alpha_pattern": {"value": 5},
        "lora_bias": True,
    },
    "all linear": {"target_modules": "all-linear", "r": 2},
    "a pattern": {"target_modules": r".*output\.dense", "lora_alpha": 3},
    "all but one": {"exclude_modules": ["3.attention.self.query"]},
    "dropout": {"lora_dropout": 0.5},
    "gaussian": {"init_lora_weights": "gaussian"},
    "not zero": {"init_lora_weights": False},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}
# Those that have no shared and private part.
LORA_APART = {
    "dora": {"use_dora": True},
    "dora, rslora": {"use_dora": True, "use_rslora": True, "rank_pattern": {"query": 2}},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, quick": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora", "use_rslora": True},
    "mica": {"init_lora_weights": "mica"},
    "biases": {"bias": "lora_only"},
}


# Every mode as it is and recomputed, once each beside BERT and beside one of the others in turn.
JOINT = [(*mode, "BERT", number % 2 > 0) for number, mode in enumerate(MODES)]
JOINT += [(*mode, ("Llama", "GPT-2")[number // 2 % 2], number % 2 == 0) for number, mode in enumerate(MODES)]


def test_every_mode_is_here_and_every_sharing_meets_every_family():
    assert len(JOINT) == 2 * len(MODES)
    assert {(*mode, again) for *mode, _, again in JOINT} == {
        (*mode, again) for mode in MODES for again in (False, True)
    }
    families = {"BERT", "Llama", "GPT-2"}
    assert {(of[1], of[2]) for of in JOINT} == {(sharing, family) for _, sharing in MODES for family in families}


@pytest.mark.parametrize(("method", "sharing", "family", "recompute"), JOINT)
def test_the_joint_gradient_is_the_sum_of_the_tasks_own(method, sharing, family, recompute):
    encoder = make_encoder(
        tiny_backbone(family, layers=3), dict.fromkeys(TASKS, configured(method, sharing)), recompute=recompute
    )
    check_joint_gradient(encoder, TASKS, sharing)


@pytest.mark.parametrize(("method", "sharing"), [mode for mode in MODES if mode[1] != "shared"])
def test_training_one_task_leaves_the_others_private_part_alone(method, sharing):
    encoder = make_encoder(tiny_backbone("BERT", layers=3), dict.fromkeys(TASKS, configured(method, sharing)))
    perturb(encoder)
    check_one_task_alone(encoder, TASKS, sharing)


@pytest.mark.parametrize("method", ["lora", "ia3", "adalora"])
def test_no_task_name_collides_with_another_or_with_a_module(method, tmp_path):
    configs = dict.fromkeys(NAMES, configured(method, "shared+private"))
    encoder = make_encoder(tiny_backbone("BERT", layers=3), configs)
    perturb(encoder)
    sizes = {owner: len(held) for owner, held in encoder.parameters_by_owner().items()}
    assert list(sizes) == ["shared", *NAMES]
    assert len(set(sizes.values())) == 1
    assert len({id(p) for p in parameters(encoder).values()}) == sum(sizes.values())
    before = [vectors(encoder, name) for name in NAMES]
    assert all(not torch.allclose(a, b) for n, a in enumerate(before) for b in before[:n])
    save_all(encoder, NAMES, tmp_path)
    counts = {len(load_file(tmp_path / name / "adapter_model.safetensors")) for name in NAMES}
    assert counts == {8}  # in each of 2 layers: A and B of 2 modules, or 4 vectors
    again = rebuilt(tiny_backbone("BERT", layers=3), configs, tmp_path)
    for name, expected in zip(NAMES, before, strict=True):
        torch.testing.assert_close(vectors(again, name), expected, atol=1e-5, rtol=0)


# LoRA with every quantisation; the others, whose weights come back by the same way, with two.
EXPORTED = [("lora", "BERT", kind) for kind in QUANTIZATIONS]
EXPORTED += [(method, "BERT", kind) for method in ("ia3", "adalora") for kind in (None, "int8")]
EXPORTED += [(m, f, k) for m in ("lora", "ia3", "adalora") for f, k in (("Llama", "nf4"), ("GPT-2", None))]


@pytest.mark.parametrize(("method", "family", "quantize"), EXPORTED)
def test_the_composed_export_is_the_same_in_plain_peft(family, method, quantize, tmp_path):
    configs = dict.fromkeys(TASKS, configured(method, "shared+private"))
    encoder = make_encoder(tiny_backbone(family, quantize, layers=3), configs)
    perturb(encoder)
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone(family, quantize, layers=3), configs, tmp_path)
    for task in TASKS:
        expected = hidden(encoder, task)
        assert not torch.allclose(expected, hidden(encoder, None), atol=1e-4)
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=1e-5, rtol=0)
        plain = plain_hidden(encoder, tiny_backbone(family, quantize, layers=3).model, tmp_path / task)
        torch.testing.assert_close(plain, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "sharing"),
    [pytest.param(o, s, id=f"{n}-{s}") for n, o in LORA_OPTIONS.items() for s in ("shared", "shared+private")]
    + [pytest.param(o, "private", id=f"{n}-private") for n, o in LORA_APART.items()],
)
def test_every_lora_option_is_exported_exactly(options, sharing, tmp_path):
    configs = dict.fromkeys(TASKS, configured("lora", sharing, **options))
    backbone = tiny_backbone("BERT", layers=4)
    before = {name: p.clone() for name, p in backbone.model.named_parameters()}
    encoder = make_encoder(backbone, configs)
    perturb(encoder)
    for loss in task_losses(encoder, TASKS):
        loss.backward()
    assert all(gradient.any() for gradient in gradients(encoder).values())
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone("BERT", layers=4), configs, tmp_path)
    for task in TASKS:
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=1e-5, rtol=0)
        plain = plain_hidden(encoder, tiny_backbone("BERT", layers=4).model, tmp_path / task)
        torch.testing.assert_close(plain, hidden(encoder, task), atol=1e-5, rtol=0)
    assert all(torch.equal(p, before[name]) for name, p in backbone.model.named_parameters())


@pytest.mark.parametrize("options", LORA_APART.values(), ids=LORA_APART)
def test_what_cannot_be_composed_is_refused_with_shared_and_private_parts(options):
    with pytest.raises(UserError, match=r"choose sharing: shared or private|only 1 adapter with bias"):
        make_encoder(
            tiny_backbone("BERT", layers=4), dict.fromkeys(TASKS, configured("lora", "shared+private", **options))
        )


def test_a_private_start_that_moves_weights_into_the_adapter_starts_at_the_backbone():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("lora", init_lora_weights="pissa", r=4)})
    torch.testing.assert_close(hidden(encoder, "query"), hidden(encoder, None), atol=1e-5, rtol=0)
    assert all(p.any() for p in parameters(encoder).values())
    with pytest.raises(UserError, match="pissa cannot read quantised weights"):
        make_encoder(tiny_backbone("BERT", "nf4"), {"query": configured("lora", init_lora_weights="pissa")})


def test_dropout_is_on_in_the_adapters_only():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured("lora", lora_dropout=0.5)})
    perturb(encoder)
    still = vectors(encoder, "query")
    encoder.train()
    assert not torch.equal(vectors(encoder, "query"), vectors(encoder, "query"))
    assert torch.equal(hidden(encoder, None), hidden(encoder, None))
    encoder.eval()
    assert torch.equal(vectors(encoder, "query"), still)


def test_ranks_may_differ_between_tasks(tmp_path):
    configs = {"a": configured("lora", r=2), "ab": configured("lora", r=16), "b": configured("lora", layers=[1], r=4)}
    encoder = make_encoder(tiny_backbone("BERT", layers=3), configs)
    perturb(encoder)
    save_all(encoder, list(configs), tmp_path)
    found = {t: json.loads((tmp_path / t / "adapter_config.json").read_text())["r"] for t in configs}
    assert found == {"a": 2, "ab": 16, "b": 4}
    again = rebuilt(tiny_backbone("BERT", layers=3), configs, tmp_path)
    for task in configs:
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=1e-6, rtol=0)


def test_an_adapter_of_another_backbone_is_refused(tmp_path):
    configs = {"query": configured("lora")}
    save_all(make_encoder(tiny_backbone("BERT", layers=4), configs), ["query"], tmp_path)
    with pytest.raises(UserError, match=r"its adapter does not fit: .*layer\.3"):
        rebuilt(tiny_backbone("BERT", layers=3), configs, tmp_path)


PLAIN = """
import gc
gc.disable()  # what is imported is no garbage
import sys
import torch
from transformers import AutoModel, AutoTokenizer, BitsAndBytesConfig
from peft import PeftModel

folder, adapters, output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
batch = tokenizer({texts!r}, padding=True, return_tensors="pt")
nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
found = {{}}
for name, options in {{"fp32": {{}}, "nf4": {{"quantization_config": nf4}}}}.items():
    for method in {methods!r}[name]:
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, **options)
        if name == "nf4":  # a quantised backbone's token table is held in 16 bits, and bitsandbytes' repacking is off
            table = model.get_input_embeddings().weight
            table.data = table.data.half().float()
            for module in model.modules():
                if hasattr(module, "support_avx512bf16_for_cpu"):
                    module.support_avx512bf16_for_cpu = False
        model = PeftModel.from_pretrained(model, f"{{adapters}}/{{name}}/{{method}}/query").eval()
        with torch.no_grad():
            states = model(**batch).last_hidden_state
        found[f"{{name}}/{{method}}"] = (states * batch["attention_mask"][..., None]).contiguous()
assert not [name for name in sys.modules if name.startswith("peftrec")]
from safetensors.torch import save_file
save_file(found, output)
"""


def test_plain_peft_in_a_process_without_peftrec_computes_the_same_on_minilm(tmp_path):
    texts = ["a space adventure", "the comedy about two friends who cook", "horror"]
    methods = {"fp32": ["lora", "ia3", "adalora", "prefix"], "nf4": ["lora", "ia3"]}  # the others on tiny models, above
    expected = {}
    for name, quantize in {"fp32": None, "nf4": "nf4"}.items():
        for method in methods[name]:
            backbone = load_backbone(BackboneConfig(name=MINILM, dtype="fp32", quantize=quantize))
            config = configured(method, "shared+private", "all" if method == "prefix" else "top-2")
            encoder = make_encoder(backbone, dict.fromkeys(["query", "interest"], config))
            perturb(encoder)
            save_all(encoder, ["query"], tmp_path / name / method)
            rows = [encoder.texts.add(text) for text in texts]
            encoder.update()
            ids, mask, types = encoder.texts.pad(torch.tensor(rows).numpy())
            with torch.no_grad(), encoder.active("query"):
                states = encoder.adapter_of("query").run("query", ids, mask, types, None, 0)
            expected[f"{name}/{method}"] = states * mask[..., None]
    script = PLAIN.format(texts=texts, methods=methods)
    command = [sys.executable, "-c", script, backbone.origin, str(tmp_path), str(tmp_path / "found.safetensors")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = load_file(tmp_path / "found.safetensors")
    assert len(found) == len(expected) == 6
    for key, states in expected.items():
        torch.testing.assert_close(found[key], states, atol=1e-5, rtol=0, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("quantize", [None, "nf4", "int8"])
@pytest.mark.parametrize("method", ["lora", "ia3", "adalora"])
def test_a_16_bit_backbone_keeps_its_dtype_and_trains(method, quantize):
    backbone = load_backbone(BackboneConfig(name=MINILM, dtype="bf16", quantize=quantize))
    encoder = make_encoder(backbone, {"query": configured(method, "shared+private", layers="top-1")})
    perturb(encoder)
    with encoder.active("query"):
        assert backbone.run(*encoder.texts.pad(ROWS)).dtype == torch.bfloat16
    assert {parameter.dtype for parameter in parameters(encoder).values()} == {torch.float32}
    task_losses(encoder, ["query"])[0].backward()
    assert all(gradient.any() for gradient in gradients(encoder).values())


def test_methods_that_read_weights_as_numbers_are_refused_on_codes():
    with pytest.raises(UserError, match=r"adapter\.method: PEFT's hra cannot read quantised weights"):
        make_encoder(tiny_backbone("BERT", "int8"), {"query": configured("hra")})
