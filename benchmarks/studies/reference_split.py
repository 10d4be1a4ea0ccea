"""Interest on the 80/20 global-time split, with histories as strict as ours and as the first prototypes counted them.

    python -m benchmarks reference-split [--seeds 2]

Half of MovieLens-100k's ratings share their second with others of the same user. peftrec counts only events strictly
before an example; the prototypes took the file's order inside a second for time, which tells a model more. Both are
measured here, interest alone and co-learned with query and time: the side network in fp32, six epochs, no validation
split and no early stopping.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.data.sources.movielens import load
from peftrec.data.tables import Events, Tables
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.recipe import Recipe, make_recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare


def file_order(path: Path | None) -> Tables:
    """MovieLens-100k with a millisecond between a user's events of one second, in the file's order."""
    tables = load(path)
    events = tables.one(Events)
    assert events.time is not None
    place = np.arange(len(events.time))
    new = np.append(True, (np.diff(events.time) != 0) | (np.diff(events.user) != 0))
    since = place - np.maximum.accumulate(np.where(new, place, 0))
    return replace(tables, named={**tables.named, "events": replace(events, time=events.time + since * 1e-3)})


def recipe(tasks: list[str], order: str, seed: int) -> Recipe:
    """The shipped recipe on the reference's split."""
    raw = load_recipe("movielens-100k").model_dump()
    raw["data"] |= {"split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    if order == "file":
        raw["data"]["source"] = f"{__name__}:file_order"
    raw["backbone"] |= {"dtype": "fp32", "quantize": None}
    raw["train"] |= {"epochs": 6, "early_stopping": None, "seed": seed}
    raw["tasks"] = {name: raw["tasks"][name] for name in tasks}
    return make_recipe(raw)


def measure(seeds: int) -> list[dict[str, Any]]:
    """A row for each order of events, set of tasks and seed."""
    rows: list[dict[str, Any]] = []
    for order in ("strict", "file"):
        for tasks in (["interest"], ["query", "interest", "time"]):
            for seed in range(seeds):
                setup = prepare(recipe(tasks, order, seed))
                setup.model.encoder.update()
                fit(setup)
                priors = ("item_and_user", "rates_so_far")
                found = evaluate_task(
                    setup.model, setup.dataset, "interest", "test", measures=Measures(("auc", "gauc")), priors=priors
                )
                row = {"order": order, "tasks": " + ".join(tasks), "seed": seed, **found["metrics"]}
                row |= {"interval": found["intervals"]["auc"], **{p: found["priors"][p]["auc"] for p in priors}}
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    return rows
