"""LoRA's products with fewer passes over memory than PEFT makes: the same numbers but for rounding.

PEFT adds each adapter's part to a layer's output in five passes over (T, out) numbers, forward and backward. Here the
parts of all active adapters are one product of rank r1 + r2 + ..., added in place; its gradients are four products.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class _AddProduct(torch.autograd.Function):
    """y + (x A') B' for y (T, out), x (T, in), A (r, in), B (out, r); y itself is changed. x may have fewer bits."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        low = F.linear(x.to(a.dtype), a)  # (T, r)
        ctx.save_for_backward(x, low, a, b)
        ctx.mark_dirty(y)
        return y.addmm_(low, b.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        x, low, a, b = ctx.saved_tensors
        back = grad @ b  # (T, r)
        to_x = (back @ a).to(x.dtype) if ctx.needs_input_grad[1] else None
        return grad, to_x, back.T @ x.to(a.dtype), grad.T @ low


def quicken(layer: Any) -> None:
    """Let one of PEFT's LoRA or AdaLoRA layers compute so, if it is of the plain kind: a linear layer, no DoRA, ..."""
    kinds = [cls.__name__ for cls in type(layer).__mro__]
    plain = type(layer).__name__ in ("Linear", "Linear4bit", "Linear8bitLt") and "LoraLayer" in kinds
    plain = plain and not layer.lora_variant and not any(layer.lora_bias.values())
    if plain or type(layer).__name__ in ("SVDLinear", "SVDLinear4bit", "SVDLinear8bitLt"):
        kind = type(layer)
        if kind not in _QUICK:
            _QUICK[kind] = type(kind.__name__, (kind,), {"forward": _forward, "__module__": kind.__module__})
        layer.__class__ = _QUICK[kind]


# PEFT's kinds of layers -> the same that compute so. Not a function in each layer, which would hold it and be held by
# it: what is no cycle is freed as soon as its run is.
_QUICK: dict[type, type] = {}


def _forward(layer: Any, x: Tensor) -> Tensor:
    """What PEFT's own forward gives for its active adapters, none of them merged (..., in) -> (..., out)."""
    if torch.is_autocast_enabled(x.device.type):  # which chooses the precision of each of PEFT's products
        plain: Tensor = super(type(layer), layer).forward(x)
        return plain
    rows = x.reshape(-1, x.shape[-1])
    found = layer.base_layer(rows)
    parts = [_part(layer, name) for name in layer.active_adapters if name in layer.lora_A]
    if not parts:
        return found.view(*x.shape[:-1], -1)
    y = found.to(parts[0][1].dtype)  # PEFT, too, adds in the adapter's precision and rounds once
    if y._is_view():
        y = y.clone()
    if all(isinstance(dropout, nn.Identity) or not dropout.training for dropout, *_ in parts):
        y = _AddProduct.apply(y, rows, torch.cat([a for _, a, _ in parts]), torch.cat([b for *_, b in parts], 1))
    else:
        for dropout, a, b in parts:
            y = _AddProduct.apply(y, dropout(rows), a, b)
    return y.to(found.dtype).view(*x.shape[:-1], -1)


def _part(layer: Any, name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """An adapter's dropout, A (r, in) and B (out, r), its scale in B."""
    a, b, scale = layer.lora_A[name], layer.lora_B[name], layer.scaling[name]
    if isinstance(a, nn.Linear):
        return layer.lora_dropout[name], a.weight, b.weight * scale
    # AdaLoRA's singular values, and its division by their number.
    return layer.lora_dropout[name], a * layer.lora_E[name], b * (scale / (layer.ranknum[name] + 1e-5))
