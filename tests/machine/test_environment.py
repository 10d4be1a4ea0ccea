import json
import os
import subprocess
import sys
import textwrap

import psutil
import pytest
import torch

from peftrec.machine import precision
from peftrec.machine.environment import environment
from peftrec.machine.memory import free_main_memory_mb
from peftrec.machine.precision import compute_dtype

CPU = torch.device("cpu")


def with_flags(monkeypatch, flags):
    monkeypatch.setattr(precision, "cpu_info", lambda: {"flags": flags})


def test_the_environment_is_plain_values_and_names_the_packages():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["torch"] == torch.__version__
    assert found["python"] == sys.version.split()[0]
    assert found["cpu_cores"] >= 1
    assert found["memory_mb"] > 500


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
