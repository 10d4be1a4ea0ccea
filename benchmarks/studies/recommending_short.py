"""The short form of `python -m benchmarks recommending`: one log, few events, one seed.

    python -m benchmarks.studies.recommending_short SPEC.json OUT

SPEC.json: {"options": {"log", "rows"}}; the log is one that needs no folder of data. Interest is not measured.
"""

from pathlib import Path
from typing import Any

from benchmarks.children import commit, deliver
from benchmarks.recommending.one import PEFTREC, REFERENCES_OF, work
from benchmarks.recommending.run import compared_log, folder_of
from peftrec.machine.files import write_json


def measure(log: str, rows: int, folder: Path) -> dict[str, Any]:
    """What the page says of one log."""
    for what in (PEFTREC, REFERENCES_OF):
        own = folder_of(folder, log, what, 0)
        own.mkdir(parents=True)
        spec = {"set": log, "data": "", "rows": rows, "keys": [], "what": what, "seed": 0, "first": str(own)}
        write_json(own / "result.json", {"commit": commit(), **work(spec, own)})
    return {"rows": rows, "logs": {log: compared_log(folder / log, 1)}}


if __name__ == "__main__":
    deliver(lambda spec, folder: measure(**spec["options"], folder=folder))
