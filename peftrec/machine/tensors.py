"""Named tensors in safetensors files, whether a file's are those that a model has, and whether they are numbers."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors from any device and memory layout, as Transformers and PEFT read them."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"})


def misfit(found: Mapping[str, object], wanted: Mapping[str, object], holder: str) -> str | None:
    """The first difference between the forms of what `holder` has and of what the model has, in words; None: they fit.

    Both map a tensor's name to its form: its shape, or its shape and dtype.
    """
    for name in sorted(found.keys() ^ wanted.keys()):
        return f"{name} is in only one of {holder} and model"
    for name, form in found.items():
        if form != wanted[name]:
            return f"{name} is {form}, not {wanted[name]}"
    return None


def finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite. Read once, where `torch.isfinite` also writes a value for each."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())
