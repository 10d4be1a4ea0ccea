"""No input makes the command fail otherwise than with a message: cases drawn from fixed seeds, each by its name.

One alone, with what it changes: `make fuzz CASE=run:17`. More than these: `make fuzz SECONDS=600`. Kept promises:
exit status 0, 1 or 2, no traceback, no hang, below 2 GB, nothing written but what was asked for, nothing left after a
failure, no program started, no file of somebody else told, no control character printed.
"""

import os

import pytest
from fuzz.cases import KINDS, try_case
from fuzz.known import KNOWN
from fuzz.world import make_world

MANY = {"recipe": 20, "table": 25, "row": 30, "run": 35, "cache": 20}  # together half a minute of one idle core
NAMES = [f"{kind}:{number}" for kind, many in MANY.items() for number in range(many)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    here = os.getcwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEFTREC_CACHE", os.environ["PEFTREC_CACHE"])  # as it was, afterwards
        yield make_world(tmp_path_factory.mktemp("world"))
        os.chdir(here)


def test_every_kind_is_tried():
    assert MANY.keys() == KINDS.keys()


@pytest.mark.parametrize("name", [*NAMES, *sorted(KNOWN.keys() - set(NAMES))])
def test_a_case_finds_nothing_but_what_is_known_of_it(world, name):
    case, found = try_case(name, world)
    known = KNOWN.get(name, ())
    assert [line for line in found if not any(part in line for part in known)] == [], case
    assert [part for part in known if not any(part in line for line in found)] == [], "mended: take it off known.py"
