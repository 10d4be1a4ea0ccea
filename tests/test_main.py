"""OpenMP's waiting, and that nothing is compiled, is settled before torch loads, and the user's say goes first."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peftrec.__main__ import SPINS

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "TORCHDYNAMO_DISABLE")
# At the first import of torch or the command's end: what libgomp would read.
PROBE = f"""
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "peftrec.cli"):
            print("torch" in sys.modules, *(os.environ.get(n, "-") for n in {NAMES}))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Finder())
from peftrec.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, f"False {SPINS} - 1"),
        ({"GOMP_SPINCOUNT": "7", "TORCHDYNAMO_DISABLE": "0"}, "False 7 - 0"),
        ({"OMP_WAIT_POLICY": "active"}, "False - active 1"),
    ],
)
def test_it_is_set_before_torch_loads_and_a_users_own_is_kept(given, found):
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == found


@pytest.mark.parametrize("loading", ["typer", "yaml", "pydantic"])
@pytest.mark.parametrize(("sent", "status", "told"), [("SIGINT", 130, "peftrec: interrupted\n"), ("SIGTERM", 143, "")])
def test_a_signal_while_the_command_loads_is_obeyed_at_once(tmp_path, loading, sent, status, told):
    # Stands in for a library that takes its time, and would take the interruption for a failed import.
    (tmp_path / f"{loading}.py").write_text(
        "import time\ntry:\n    print('loading', flush=True)\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    child = subprocess.Popen(
        [sys.executable, "-m", "peftrec", "recipes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        # A shell's background jobs ignore SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout.readline() == "loading\n"
    child.send_signal(getattr(signal, sent))
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (status, "", told)
