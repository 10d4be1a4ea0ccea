"""The machine a run is on: what it is, how much memory was used, and which dtype its hardware computes fast."""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("peftrec", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "numpy")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# CPU flags (Linux names) of the units that multiply bf16 matrices; without them bf16 is emulated.
_BF16_UNITS = {"avx512_bf16": "AVX-512-BF16", "amx_bf16": "AMX"}


def environment() -> dict[str, Any]:
    """Python, platform, CPU, memory (MB), device and package versions, as plain values for `report.json`."""
    cpu = _cpu_info().get("model name") or platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu,
        "cpu_cores": _usable_cores(),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def memory_mb() -> dict[str, float]:
    """Memory in use now, MB (1e6 bytes): the process's own (RSS), and what PyTorch's allocator holds of a GPU."""
    used = {"process": psutil.Process().memory_info().rss / 1e6}
    if torch.cuda.is_available():
        used |= {
            "cuda_allocated": torch.cuda.memory_allocated() / 1e6,
            "cuda_reserved": torch.cuda.memory_reserved() / 1e6,
        }
    return used


def peak_memory_mb() -> float:
    """Largest memory in use so far, MB (1e6 bytes): of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: on Linux a process inherits the peak of the one that started it.
        match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"))
        if match:
            return int(match[1]) * 1024 / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def return_free_memory() -> None:
    """Give memory that this process has freed, but its allocator keeps, back to the system; a no-op but with glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def free_memory_mb() -> float:
    """Memory that can still be taken, MB: on the GPU where there is one, else main memory."""
    return torch.cuda.mem_get_info()[0] / 1e6 if torch.cuda.is_available() else free_main_memory_mb()


def free_main_memory_mb(root: Path = Path("/")) -> float:
    """Memory outside any GPU that can still be taken, MB: the machine's, or a cgroup's (v1 or v2) where that is less.

    A container or batch job is killed at its cgroup's limit, or that of a cgroup above it, however much the machine
    has. What the cgroup counts as used but the system would drop first (files read and not used lately) is free.
    """
    free = [float(psutil.virtual_memory().available)]
    for folder, limit, usage, droppable in _memory_cgroups(root):
        with suppress(OSError, ValueError):  # no such file, or "max": no limit here
            free.append(float(int((folder / limit).read_text()) - int((folder / usage).read_text())))
            dropped = re.search(rf"^{droppable} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
            free[-1] += int(dropped[1]) if dropped else 0
    return max(0.0, min(free)) / 1e6


def _memory_cgroups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of this process's memory cgroups, innermost first, with the names of limit, usage and droppable memory.

    /proc/self/cgroup has a line `number:controllers:path` a hierarchy; v2's is `0::path`. Inside a container the path
    may be the host's, of which only the upper end, the container's own cgroup, is mounted: then only that is found.
    """
    mount = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                base, names = mount, ("memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                base, names = (
                    mount / "memory",
                    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
                )
            else:
                continue
            inner = base / path.strip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(base):
                    yield folder, *names


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
    flags = _cpu_info().get("flags", "").split()
    units = [name for flag, name in _BF16_UNITS.items() if flag in flags]
    return f"the CPU's {' and '.join(units)}" if units else None


def _version(package: str) -> str | None:
    """Installed version; None for a package that is not installed, such as peftrec run from its checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _name(device: torch.device) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}.get(device.type, f"device ({device.type})")


def _usable_cores() -> int:
    """Cores this process may use, which in a container or a batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _cpu_info() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where the system has no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first, _, _ = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
