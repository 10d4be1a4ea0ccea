"""Memory of this process and machine: in use, at its peak, and still to be had."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow as pa
import torch


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
    """Give memory that this process has freed, but its allocators keep, back to the system: Arrow's, and that of glibc
    where there is one."""
    pa.default_memory_pool().release_unused()
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
