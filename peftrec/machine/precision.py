"""Which dtype the hardware computes fast."""

import torch

from peftrec.machine.environment import cpu_info

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# CPU flags (Linux names) of the units that multiply bf16 matrices; without them bf16 is emulated.
_BF16_UNITS = {"avx512_bf16": "AVX-512-BF16", "amx_bf16": "AMX"}


def compute_dtype(requested: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The dtype to compute in, and a sentence that says why.

    `auto` is bf16 where the hardware multiplies bf16 matrices (a CUDA GPU that supports it, a CPU with AVX-512-BF16 or
    AMX), fp32 otherwise. Any other name of `DTYPES` is obeyed, with a warning in the sentence where it will be slow.
    """
    unit = _bf16_unit(device)
    if requested == "auto":
        if unit is not None:
            return torch.bfloat16, f"bf16, because {unit} multiplies bf16 matrices"
        return torch.float32, f"fp32, because this {_name(device)} has no bf16 units"
    if requested not in DTYPES:
        raise ValueError(f"dtype must be auto, {', '.join(DTYPES)}; found {requested!r}")
    reason = f"{requested}, as the recipe says"
    if requested == "bf16" and unit is None:
        # Measured on an AVX2 CPU: MiniLM, 32 texts of 64 tokens, a forward took 7 and a LoRA step 32 times as long.
        reason += (
            f"; warning: this {_name(device)} has no bf16 units, and emulating bf16 can be 30 times slower than fp32"
        )
    if requested == "fp16" and device.type == "cpu":
        reason += "; warning: CPUs emulate fp16, which is slower than fp32 and overflows past 65504"
    return DTYPES[requested], reason


def _bf16_unit(device: torch.device) -> str | None:
    """The part of `device` that multiplies bf16 matrices, or None."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_name(device) if supported else None
    if device.type != "cpu":
        return None
    flags = cpu_info().get("flags", "").split()
    units = [name for flag, name in _BF16_UNITS.items() if flag in flags]
    return f"the CPU's {' and '.join(units)}" if units else None


def _name(device: torch.device) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}.get(device.type, f"device ({device.type})")
