import json
import sys

import torch

from peftrec.machine.environment import environment


def test_the_environment_is_plain_values_and_names_the_packages():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["torch"] == torch.__version__
    assert found["python"] == sys.version.split()[0]
    assert found["cpu_cores"] >= 1
    assert found["threads"] == 1  # as conftest has it
    assert found["memory_mb"] > 500
