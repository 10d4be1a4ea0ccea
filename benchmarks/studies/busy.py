"""What training costs beside other busy processes: the demo recipe's first steps, idle and beside busy loops.

Each measurement is a `peftrec train movielens-100k` of its own, once with the command's own setting of how long
OpenMP's threads wait awake (`GOMP_SPINCOUNT`) and once with libgomp's, in turn; the first, which fills the cache, does
not count. Wall and CPU seconds are of the whole command.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOOPS = (4, 7)  # busy processes beside it
STEPS = 20
LIMIT = 120.0  # seconds after which a run is ended, and counts with what it used by then
SETTINGS: dict[str, dict[str, str]] = {"peftrec": {}, "libgomp": {"GOMP_SPINCOUNT": "300000"}}


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that only count, while the block lasts."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(loops):
            running.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        yield
    finally:
        for loop in running:
            loop.kill()
        for loop in running:
            loop.wait()


def train(setting: str, loops: int) -> dict[str, Any]:
    """Wall and CPU seconds of one training, its examples a second; `ended` if it took too long."""
    env = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        what = ["train", "movielens-100k", f"train.max_steps={STEPS}", "--run", str(run), "--json"]
        with busy(loops):
            started, ended = time.perf_counter(), False
            child = subprocess.Popen(
                [sys.executable, "-m", "peftrec", *what],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=env | SETTINGS[setting],
            )
            try:
                while not (done := os.wait4(child.pid, os.WNOHANG))[0]:
                    if not ended and time.perf_counter() - started > LIMIT:
                        child.kill()
                        ended = True
                    time.sleep(0.05)
                child.returncode = os.waitstatus_to_exitcode(done[1])
            finally:
                if child.returncode is None:
                    child.kill()
                    child.wait()
            wall = time.perf_counter() - started
        if child.returncode and not ended:
            raise SystemExit(f"{' '.join(what)} ended with status {child.returncode}")
        found = {"wall": wall, "cpu": done[2].ru_utime + done[2].ru_stime, "ended": ended}
        if ended:
            return found | {"examples_per_second": 0.0}
        report = json.loads((run / "report.json").read_text())
        return found | {"examples_per_second": report["cost"]["examples_per_second"]}


def measure(repeats: int) -> dict[str, Any]:
    """CPU seconds of training beside busy processes, with the command's setting of OpenMP's threads and libgomp's."""
    train("peftrec", 0)  # fills the cache
    found: dict[tuple[str, int], list[dict[str, Any]]] = {(s, n): [] for s in SETTINGS for n in (0, *LOOPS)}
    for _ in range(repeats):
        for setting, loops in found:
            found[setting, loops].append(train(setting, loops))
    rows: list[dict[str, Any]] = []
    for (setting, loops), runs in found.items():
        row: dict[str, Any] = {"setting": setting, "loops": loops, "ended": sum(run["ended"] for run in runs)}
        for name in ("wall", "cpu", "examples_per_second"):
            row[name] = round(statistics.median(run[name] for run in runs), 1)
        row["cpu_of_idle"] = round(row["cpu"] / next(r["cpu"] for r in [*rows, row] if r["setting"] == setting), 2)
        rows.append(row)
        print(*(f"{name} {value}" for name, value in row.items()), sep="  ", flush=True)
    return {"steps": STEPS, "repeats": repeats, "limit": LIMIT, "cores": os.cpu_count(), "rows": rows}
