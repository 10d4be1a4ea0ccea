"""Training over cached states gives the losses and gradients of training without a cache, for every family."""

import pytest
import torch
from encoders import ROWS, TEXTS, configured, parameters, perturb

from peftrec.data.texts import TextTable
from peftrec.model.adapters import attach
from peftrec.model.backbone.families import FAMILIES, tiny_backbone
from peftrec.model.encoder import AdaptedEncoder

METHODS = {"side": "all", "head_only": "all", "lora": "top-1"}
CASES = [(family, None, method) for family in FAMILIES for method in METHODS]
CASES += [("BERT", quantize, method) for quantize in ("nf4", "int8") for method in ("side", "lora")]


def made(family, quantize, method):
    backbone = tiny_backbone(family, quantize)
    backbone.ran = []
    layers = "all" if backbone.layers is None else METHODS[method]
    texts = TextTable()
    for text in TEXTS:
        texts.add(text)
    torch.manual_seed(0)
    adapters = attach(backbone, dict.fromkeys(("one", "two"), configured(method, "shared+private", layers)))
    encoder = AdaptedEncoder(backbone, texts, adapters).eval()
    perturb(encoder)
    backbone.model.register_forward_pre_hook(lambda *_: backbone.ran.append(1))
    return encoder


def step(encoder):
    """Losses of two tasks (2,), and the gradient of their weighted sum by name."""
    generator = torch.Generator().manual_seed(0)
    losses = []
    for task, rows in (("one", ROWS[[0, 2, 3]]), ("two", ROWS[1:])):
        vectors = encoder.encode(rows, task)
        losses.append((vectors - torch.randn(vectors.shape, generator=generator)).square().mean())
    total = losses[0] + 0.3 * losses[1]
    if total.requires_grad:
        total.backward()
    gradients = {name: p.grad for name, p in parameters(encoder).items() if p.grad is not None}
    return torch.stack(losses).detach(), gradients


@pytest.mark.parametrize(("family", "quantize", "method"), CASES)
def test_losses_and_gradients_are_those_without_a_cache(family, quantize, method):
    plain = made(family, quantize, method)
    if "layer" in plain.caches:
        plain.trunk, plain.caches = 0, {}
    expected, expected_gradients = step(plain)
    assert sum(plain.backbone.ran) > 0
    for run in range(2):  # the second reads what the first wrote
        encoder = made(family, quantize, method)
        encoder.disk = True
        encoder.update()
        level = encoder.level("one")[0]
        assert level == ("pooled" if method != "lora" else "layer" if encoder.backbone.layers is not None else "none")
        if run == 1 and level != "none":
            assert encoder.backbone.ran == []
        losses, gradients = step(encoder)
        if level == "pooled":
            assert len(encoder.backbone.ran) == (run == 0)
        torch.testing.assert_close(losses, expected, atol=1e-6, rtol=1e-6)
        assert gradients.keys() == expected_gradients.keys()
        assert bool(gradients) == (method != "head_only")
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected_gradients[name], atol=1e-6, rtol=1e-5)


def test_every_family_is_tried():
    assert len(CASES) == 3 * len(FAMILIES) + 4
    assert len(FAMILIES) >= 13
