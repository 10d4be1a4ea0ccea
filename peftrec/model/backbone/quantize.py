"""Quantisation by bitsandbytes: linear layers in 4 or 8 bits, the token table in 16, and what the result weighs."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftrec.recipe import BackboneConfig

# LLM.int8's columns of large activations are chosen per batch, so a text's vector would depend on the texts beside it
# (MiniLM: by 3.6 %). Without them it does not; the vectors' cosine to fp32 falls from .9992 to .9976.
INT8_THRESHOLD = 0.0


def bitsandbytes_config(config: BackboneConfig, dtype: torch.dtype) -> Any:
    """What `from_pretrained` takes to quantise while loading."""
    from transformers import BitsAndBytesConfig

    if config.quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=INT8_THRESHOLD)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.quantize,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=config.double_quant,
    )


def quantize_linears(model: Any, config: BackboneConfig, dtype: torch.dtype) -> None:
    """Replace every linear layer of a model in memory by its bitsandbytes form, as `from_pretrained` would."""
    from transformers.pytorch_utils import Conv1D

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in (nn.Linear, Conv1D):
                # GPT-2's Conv1D is a linear layer that holds its weight transposed.
                weight = child.weight.data if isinstance(child, nn.Linear) else child.weight.data.T.contiguous()
                setattr(parent, name, _quantized(weight, child.bias, config, dtype))
    # PEFT chooses its quantised layers by these flags.
    eight = config.quantize == "int8"
    model.is_loaded_in_8bit, model.is_loaded_in_4bit, model.is_quantized = eight, not eight, True


def _quantized(weight: Tensor, bias: nn.Parameter | None, config: BackboneConfig, dtype: torch.dtype) -> nn.Module:
    import bitsandbytes as bnb

    bits: Any = bnb.nn
    outputs, inputs = weight.shape
    new: Any
    if config.quantize == "int8":
        new = bits.Linear8bitLt(inputs, outputs, bias is not None, has_fp16_weights=False, threshold=INT8_THRESHOLD)
        new.weight = bits.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        new = bits.Linear4bit(inputs, outputs, bias is not None, dtype)
        new.weight = bits.Params4bit(
            weight, requires_grad=False, quant_type=config.quantize, compress_statistics=config.double_quant
        )
    new.bias = bias
    return new.to(weight.device)


def halve_embedding(model: Any, dtype: torch.dtype) -> None:
    """Hold the token table in 16 bits, which bitsandbytes leaves alone; what it gives is cast up again."""
    table = model.get_input_embeddings()
    if table.weight.dtype == torch.float32:
        table.weight.data = table.weight.data.to(torch.float16)
        table.register_forward_hook(_cast_up(dtype))


def _cast_up(dtype: torch.dtype) -> Callable[[Any, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(table: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not hasattr(table, "embed_scale"):
            return output.to(dtype)
        # Gemma's table multiplies its rows: done in 16 bits, it would round them a second time.
        return functional.embedding(inputs[0], table.weight).to(dtype) * table.embed_scale

    return hook


def repair_layers(model: Any) -> None:
    """Keep bitsandbytes from two things that break its layers on a CPU.

    It repacks 4-bit weights where there is AVX-512-BF16, in the first forward without gradients in eval mode, where
    frozen parts always are; from then on the layer computes in bf16 whatever was asked for, and a forward with
    gradients raises. And an 8-bit weight that is moved (`to`, also to where it is) after the first forward loses its
    scales.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
        if hasattr(module, "init_8bit_state"):
            module.register_forward_pre_hook(_keep_scales)


def _keep_scales(layer: Any, _inputs: Any) -> None:
    if layer.weight.CB is not None and layer.weight.SCB is None:
        layer.weight.CB = None  # so that the layer does not fetch the scales from where they no longer are


def logical_numel(parameter: Tensor) -> int:
    """Numbers that a parameter stands for, however they are packed."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def held_tensors(module: nn.Module) -> Iterator[Tensor]:
    """Every tensor that a module itself keeps in memory: parameters, buffers, and the constants of quantisation."""
    yield from module.buffers(recurse=False)
    for parameter in module.parameters(recurse=False):
        yield parameter
        state = getattr(parameter, "quant_state", None)  # 4 bits; doubly quantised, its `state2` holds more
        for constants in (state, getattr(state, "state2", None)):
            if constants is not None:
                yield from (t for t in vars(constants).values() if isinstance(t, Tensor))
    # 8 bits: the scales stand beside the weight until the first forward, then in the layer's state.
    for holder in (getattr(module, "weight", None), getattr(module, "state", None)):
        scales = getattr(holder, "SCB", None)
        if isinstance(scales, Tensor):
            yield scales
