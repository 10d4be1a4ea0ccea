"""`python -m fuzz`: more cases than the suite tries, for as long as asked, or a few by name.

python -m fuzz --seconds 600 --first 1000 [--kind run]     cases 1000, 1001, ... of every kind
python -m fuzz recipe:17 run:3                             these, with what they change and what they find
"""

import argparse
import itertools
import os
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzz.cases import KINDS, try_case
from fuzz.known import KNOWN
from fuzz.world import make_world


def main() -> int:
    """Try the cases; returns the exit status: 1 when one found what is not known."""
    read = argparse.ArgumentParser(prog="fuzz")
    read.add_argument("names", nargs="*", metavar="KIND:NUMBER")
    read.add_argument("--seconds", type=float, default=60)
    read.add_argument("--first", type=int, default=1000, help="the suite tries those from 0")
    read.add_argument("--kind", choices=[*KINDS], action="append")
    given = read.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        numbers = itertools.count(given.first)
        names = given.names or (f"{kind}:{number}" for number in numbers for kind in given.kind or KINDS)
        began, tried, found = time.monotonic(), Counter[str](), Counter[str]()
        for name in names:
            if not given.names and time.monotonic() - began > given.seconds:
                break
            print(f"\r{name}", end="\r", file=sys.stderr)  # the last word, should the case end this process
            case, lines = try_case(name, world)
            tried[name.partition(":")[0]] += 1
            if given.names:
                print(f"{name}: {case.change}\n  {case.commands}")
            for line in lines:
                sort = re.sub(r"\d+", "N", line)
                found[sort] += 1
                if (given.names or found[sort] == 1) and not any(part in line for part in KNOWN.get(name, ())):
                    print(f"{name}: {line}", flush=True)
        os.chdir("/")
        seconds = time.monotonic() - began
    print(
        f"{sum(tried.values())} cases in {seconds:.0f} s ({sum(tried.values()) / seconds:.1f} a second): {dict(tried)}"
    )
    print(f"{sum(found.values())} findings, {len(found)} different", flush=True)
    return 1 if found else 0


sys.exit(main())
