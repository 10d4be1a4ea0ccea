"""The compute dtype follows the hardware, with the reason."""

import pytest
import torch

from peftrec.machine import precision
from peftrec.machine.precision import compute_dtype

CPU = torch.device("cpu")


def with_flags(monkeypatch, flags):
    monkeypatch.setattr(precision, "cpu_info", lambda: {"flags": flags})


@pytest.mark.parametrize(
    ("flags", "dtype", "reason"),
    [
        ("sse avx2", torch.float32, "fp32, because this CPU has no bf16 units"),
        ("avx512f avx512_vnni", torch.float32, "fp32, because this CPU has no bf16 units"),
        ("avx512f avx512_bf16", torch.bfloat16, "bf16, because the CPU's AVX-512-BF16 multiplies bf16 matrices"),
        ("avx512_bf16 amx_bf16", torch.bfloat16, "the CPU's AVX-512-BF16 and AMX"),
        ("", torch.float32, "no bf16 units"),
    ],
)
def test_auto_follows_the_cpu(monkeypatch, flags, dtype, reason):
    with_flags(monkeypatch, flags)
    found, sentence = compute_dtype("auto", CPU)
    assert found is dtype
    assert reason in sentence


def test_what_is_asked_for_is_done_with_a_warning_where_it_is_slow(monkeypatch):
    with_flags(monkeypatch, "avx2")
    assert compute_dtype("fp32", CPU) == (torch.float32, "fp32, as the recipe says")
    dtype, sentence = compute_dtype("bf16", CPU)
    assert dtype is torch.bfloat16
    assert "warning: this CPU has no bf16 units" in sentence
    dtype, sentence = compute_dtype("fp16", CPU)
    assert dtype is torch.float16
    assert "warning: CPUs emulate fp16" in sentence
    with_flags(monkeypatch, "avx512_bf16")
    assert compute_dtype("bf16", CPU) == (torch.bfloat16, "bf16, as the recipe says")


@pytest.mark.parametrize("supported", [True, False])
def test_auto_follows_the_gpu(monkeypatch, supported):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some GPU")
    dtype, sentence = compute_dtype("auto", torch.device("cuda"))
    assert dtype is (torch.bfloat16 if supported else torch.float32)
    assert sentence == (
        "bf16, because Some GPU multiplies bf16 matrices" if supported else "fp32, because this GPU has no bf16 units"
    )


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match=r"auto, fp32, bf16, fp16; found 'int8'"):
        compute_dtype("int8", CPU)
