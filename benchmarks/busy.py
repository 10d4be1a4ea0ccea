"""What training costs beside other busy processes: the demo recipe's first steps, idle and beside busy loops.

    python benchmarks/busy.py [--loops 4 7] [--steps 20] [--repeats 3]

Each measurement is a `peftrec train movielens-100k` of its own, once with the command's own setting of how long
OpenMP's threads wait awake (`GOMP_SPINCOUNT`) and once with libgomp's, in turn; the first, which fills the cache, does
not count. Prints and writes to benchmarks/results/busy.json for each setting and number of loops the medians of wall
and CPU seconds of the command and of examples a second, CPU seconds as a multiple of those without loops, and whether
all runs came to the same results. A run longer than `--limit` seconds is ended, and counts with what it used by then.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
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


def measure(setting: str, loops: int, steps: int, limit: float) -> dict[str, Any]:
    """Wall and CPU seconds of one training, its examples a second, its losses; `ended` if it took too long."""
    env = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        what = ["train", "movielens-100k", f"train.max_steps={steps}", "--run", str(run), "--json"]
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
                    if not ended and time.perf_counter() - started > limit:
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
            return found | {"examples_per_second": 0.0, "tasks": None}
        report = json.loads((run / "report.json").read_text())
        return found | {"examples_per_second": report["cost"]["examples_per_second"], "tasks": report["tasks"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--loops", type=int, nargs="+", default=[4, 7])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the loops are stopped then too
    measure("peftrec", 0, 1, 3600)  # fills the cache
    found: dict[tuple[str, int], list[dict[str, Any]]] = {(s, n): [] for s in SETTINGS for n in (0, *args.loops)}
    for _ in range(args.repeats):
        for setting, loops in found:
            found[setting, loops].append(measure(setting, loops, args.steps, args.limit))
    rows = []
    for (setting, loops), runs in found.items():
        row: dict[str, Any] = {"setting": setting, "loops": loops, "ended": sum(run["ended"] for run in runs)}
        for name in ("wall", "cpu", "examples_per_second"):
            row[name] = round(statistics.median(run[name] for run in runs), 1)
        row["cpu_of_idle"] = round(row["cpu"] / next(r["cpu"] for r in [*rows, row] if r["setting"] == setting), 2)
        rows.append(row)
        print(*(f"{name} {value}" for name, value in row.items()), sep="  ", flush=True)
    results = [run["tasks"] for runs in found.values() for run in runs if not run["ended"]]
    same = all(result == results[0] for result in results)
    print("the same results" if same else "results differ")
    record = {"steps": args.steps, "repeats": args.repeats, "limit": args.limit, "cores": os.cpu_count(), "rows": rows}
    (HERE / "results" / "busy.json").write_text(json.dumps(record | {"same_results": same}, indent=2) + "\n")


if __name__ == "__main__":
    main()
