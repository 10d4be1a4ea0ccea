"""LoRA's own products against PEFT's: the same outputs and gradients, for every kind of layer that they replace."""

import pytest
import torch
from encoders import configured, gradients, hidden, make_encoder, perturb, task_losses
from torch.nn import functional as F

from peftrec.model.adapters.lowrank import quicken
from peftrec.model.backbone.families import tiny_backbone

TASKS = ["query", "interest"]
KINDS = {
    "plain": ("lora", "private", {"r": 4}),
    "composed": ("lora", "shared+private", {"r": 4, "use_rslora": True}),
    "dropout": ("lora", "shared+private", {"r": 4, "lora_dropout": 0.3}),
    "adalora": ("adalora", "shared+private", {"init_r": 4, "target_r": 2}),
}


def layers(encoder):
    return {layer for task in TASKS for graft in encoder.adapter_of(task).grafts.values() for *_, layer in graft.slots}


def seen(encoder, train):
    """Outputs, and gradients of a joint loss, both with the same random numbers."""
    encoder.train(train)
    outputs = []
    for task in TASKS:
        torch.manual_seed(3)
        outputs.append(hidden(encoder, task))
    torch.manual_seed(4)
    torch.stack(task_losses(encoder, TASKS)).sum().backward()
    return outputs, gradients(encoder)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("family", "quantize"), [("BERT", None), ("GPT-2", None), ("BERT", "nf4"), ("Llama", "int8")])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_pefts(kind, family, quantize, train):
    method, sharing, options = KINDS[kind]
    encoder = make_encoder(
        tiny_backbone(family, quantize), dict.fromkeys(TASKS, configured(method, sharing, **options))
    )
    perturb(encoder)
    outputs, grads = seen(encoder, train)
    quick = [layer for layer in layers(encoder) if type(layer).forward.__module__ == quicken.__module__]
    assert len(quick) == len(layers(encoder)) >= 2
    for layer in quick:
        layer.__class__ = type(layer).__base__  # PEFT's own again
    expected, theirs = seen(encoder, train)
    torch.testing.assert_close(outputs, expected, atol=2e-6, rtol=1e-5)
    assert set(grads) == set(theirs) and len(grads) >= 8
    largest = max(float(g.abs().max()) for g in theirs.values())
    assert largest > 1e-3
    for name, grad in theirs.items():
        torch.testing.assert_close(grads[name], grad, atol=2e-6 * largest, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_sixteen_bits_are_added_in_the_adapters_own_precision():
    encoder = make_encoder(tiny_backbone("BERT"), dict.fromkeys(TASKS, configured("lora", r=4)))
    perturb(encoder)
    layer = min(layers(encoder), key=id)
    layer.base_layer = torch.nn.Linear(layer.in_features, layer.out_features).to(torch.bfloat16).requires_grad_(False)
    x = torch.randn(2, 3, layer.in_features, dtype=torch.bfloat16, requires_grad=True)
    found = {}
    for whose in ("ours", "PEFT's"):
        x.grad = None
        output = layer(x)
        assert output.dtype == torch.bfloat16
        output.float().square().sum().backward()
        found[whose] = (output.detach(), x.grad)
        vars(layer).pop("forward", None)
    torch.testing.assert_close(found["ours"], found["PEFT's"], atol=0.02, rtol=0.02)
    assert torch.equal(found["ours"][0], found["PEFT's"][0])  # the output is rounded once by both


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}])
def test_other_kinds_of_lora_stay_pefts(options):
    encoder = make_encoder(tiny_backbone("BERT"), dict.fromkeys(TASKS, configured("lora", r=4, **options)))
    assert len(layers(encoder)) >= 4
    assert not any("forward" in vars(layer) for layer in layers(encoder))


def test_gradients_of_the_product_are_those_of_finite_differences():
    from peftrec.model.adapters.lowrank import _AddProduct

    torch.manual_seed(0)
    x, a, b = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 4), (2, 4), (3, 2)))
    base = torch.randn(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, a, b: _AddProduct.apply(F.linear(x, base), x, a, b), (x, a, b))
