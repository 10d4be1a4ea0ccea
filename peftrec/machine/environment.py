"""The machine a run is on: processor, memory, device, and the packages installed."""

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("peftrec", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "numpy")


def environment() -> dict[str, Any]:
    """Python, platform, CPU, torch's threads, memory (MB), device and packages, as plain values for `report.json`."""
    cpu = cpu_info().get("model name") or platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu,
        "cpu_cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {name: _version(name) for name in PACKAGES},
    }


@cache
def _version(package: str) -> str | None:
    """Installed version; None for a package that is not installed, such as peftrec run from its checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _usable_cores() -> int:
    """Cores this process may use, which in a container or a batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_info() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where the system has no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first, _, _ = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
