"""Memory of this process and machine: its own peak, and a cgroup's limit."""

import os
import subprocess
import sys
import textwrap

import psutil
import pytest

from peftrec.machine.memory import free_main_memory_mb


def test_peak_memory_is_this_process_s_own(tmp_path):
    # In a process of its own, whose peak no other test has raised.
    script = textwrap.dedent("""
        import subprocess, sys
        from peftrec.machine.memory import peak_memory_mb
        if sys.argv[1:] == ["child"]:
            print(peak_memory_mb())
        else:
            print(peak_memory_mb())
            ballast = b"x" * 300_000_000
            print(peak_memory_mb())
            print(subprocess.run([sys.executable, __file__, "child"], capture_output=True, text=True).stdout)
            del ballast
            print(peak_memory_mb())
    """)
    file = tmp_path / "peak.py"
    file.write_text(script)
    no_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, env=no_gpu)
    before, grown, child, after = map(float, done.stdout.split())
    assert grown - before == pytest.approx(300, abs=30)
    assert after == pytest.approx(grown, abs=5)  # a peak stays; the kernel counts in batches
    assert child == pytest.approx(before, abs=100)  # ru_maxrss would be inherited


def cgroups(root, lines, files):
    """A file system of /proc/self/cgroup and the cgroups' own files."""
    for path, text in {"proc/self/cgroup": lines, **{f"sys/fs/cgroup/{p}": t for p, t in files.items()}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return free_main_memory_mb(root)


V2 = {"job/memory.max": "90000000\n", "job/memory.current": "50000000\n", "job/memory.stat": "anon 1\n"}


V1 = {
    "memory/job/memory.limit_in_bytes": "90000000\n",
    "memory/job/memory.usage_in_bytes": "50000000\n",
    "memory/job/memory.stat": "cache 7\ntotal_inactive_file 20000000\n",
}


@pytest.mark.parametrize(
    ("lines", "files", "free"),
    [
        ("0::/job\n", V2, 40),
        ("0::/job\n", {name: text for name, text in V2.items() if "stat" not in name}, 40),
        ("0::/job\n", V2 | {"job/memory.stat": "anon 1\ninactive_file 30000000\n"}, 70),
        ("0::/job/inner\n", V2 | {"job/inner/memory.max": "max\n", "job/inner/memory.current": "1\n"}, 40),
        ("0::/\n", {p.removeprefix("job/"): text for p, text in V2.items()}, 40),
        ("0::/job\n", V2 | {"job/memory.current": "95000000\n"}, 0),
        ("9:cpu,cpuacct:/\n4:memory:/job\n0::/\n", V1, 60),
        ("4:memory:/docker/of-the-host\n", {p.replace("job/", ""): text for p, text in V1.items()}, 60),
    ],
    ids=["v2", "no statistics", "droppable", "outer limit", "namespace", "beyond it", "v1", "host's path"],
)
def test_free_memory_ends_at_the_cgroup_s_limit(tmp_path, lines, files, free):
    assert cgroups(tmp_path, lines, files) == pytest.approx(free)


def test_without_a_limit_free_memory_is_the_machine_s(tmp_path):
    machine = psutil.virtual_memory().available / 1e6
    unlimited = {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n", "memory/memory.usage_in_bytes": "5\n"}
    assert cgroups(tmp_path, "4:memory:/\n", unlimited) == pytest.approx(machine, rel=0.5)
    assert free_main_memory_mb(tmp_path / "no such system") == pytest.approx(machine, rel=0.5)
