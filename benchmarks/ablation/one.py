"""One log with one arm and one seed, in a process of its own.

    python -m benchmarks.ablation.one SPEC.json OUT

SPEC.json: {"set", "data", "rows", "keys", "arm", "seed"}. OUT, a folder, appears when all is done: result.json, the
tables, and <task>.parquet, a line a test row: `user`, `label`, `prediction` (of a task that ranks a catalogue where the
right item stands, from 1), and whether train rows lack the item (`cold_item`) and the user (`cold_user`).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ablation.arms import arm_recipe, tables_of
from benchmarks.children import deliver
from peftrec.data.dataset import TaskData
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.outcomes import Outcome
from peftrec.evaluation.slices import slices_of
from peftrec.recipe import apply_overrides, make_recipe
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare


def work(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train it, and keep what it says of every test row."""
    frames, features = tables_of(spec["set"], Path(spec["data"]), spec["rows"], spec["arm"])
    (folder / "tables").mkdir()
    for name, frame in frames.items():
        frame.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    raw = arm_recipe(spec["set"], folder / "tables", spec["arm"], features, spec["seed"])
    started, setup = time.monotonic(), prepare(make_recipe(apply_overrides(raw, spec["keys"])))
    setup.model.encoder.disk = True  # the same texts again and again
    fit(setup)
    outcomes: dict[str, Outcome] = {}
    evaluate(
        setup.model, setup.dataset, setup.tasks, "test", resamples=0, ranking=True, priors=False, outcomes=outcomes
    )
    kinds = {task: of.config.kind for task, of in setup.tasks.items()}
    for task, of in outcomes.items():
        rows_of(of, setup.dataset.tasks[task], kinds[task]).to_parquet(folder / f"{task}.parquet", index=False)
    said = {key: spec[key] for key in ("set", "rows", "keys", "arm", "seed")}
    return said | {"seconds": time.monotonic() - started, "kinds": kinds}


def rows_of(outcome: Outcome, data: TaskData, kind: str) -> pd.DataFrame:
    """A line a test row."""
    said = outcome.rank if kind == "next-item" else outcome.prediction
    found = pd.DataFrame({"user": outcome.group, "label": np.asarray(outcome.label), "prediction": said})
    parts = {(by, part): of for by, part, of in slices_of(data, data.test, ["cold_items", "cold_users"])}
    for by in ("cold_items", "cold_users"):
        found[by.removesuffix("s")] = np.isin(np.arange(len(found)), parts.get((by, "cold"), []))
    return found


if __name__ == "__main__":
    deliver(work)
