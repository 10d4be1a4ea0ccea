"""How long OpenMP's threads wait awake for each other is settled before torch loads, and the user's say goes first."""

import os
import subprocess
import sys

import pytest

from peftrec.__main__ import SPINS

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
# At the first import of torch or the command's end: what libgomp would read.
PROBE = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "peftrec.cli"):
            print("torch" in sys.modules, *(os.environ.get(n, "-") for n in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Finder())
from peftrec.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, f"False {SPINS} -"),
        ({"GOMP_SPINCOUNT": "7"}, "False 7 -"),
        ({"OMP_WAIT_POLICY": "active"}, "False - active"),
    ],
)
def test_the_threads_waiting_is_set_before_torch_loads_and_a_users_own_is_kept(given, found):
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == found
