"""One log, by peftrec or by all references, with one seed, in a process of its own.

    python -m benchmarks.recommending.one SPEC.json OUT

SPEC.json: {"set", "data", "rows", "keys", "what", "seed", "first"}; `what`: PEFTREC, ITEMS, REFERENCES or INTEREST;
`first`: OUT of the references' first seed, whose constants the others take. OUT, a folder, appears when all is done:
result.json, the tables and, but for INTEREST, NAME.parquet of each that was measured: a line a test row, `user`,
`label`, `prediction` (where the right item stands in the catalogue, from 1), `cold_item` and `cold_user` (whether train
rows lack it), `repeat` (whether the user had the item before).
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ablation.one import rows_of
from benchmarks.children import deliver
from benchmarks.recommending.climb import at_end, climb
from benchmarks.recommending.logs import WHOLE, recipe_for, written
from benchmarks.recommending.references import (
    ALS,
    BPR,
    EASE,
    TASK,
    ItemKNN,
    Known,
    OwnFrequency,
    Popularity,
    Reference,
    ranked,
)
from benchmarks.recommending.sasrec import SASRec, TextSASRec
from peftrec.data.dataset import Dataset
from peftrec.evaluation.evaluate import evaluate
from peftrec.machine.files import read_json
from peftrec.model.backbone import load_backbone
from peftrec.model.encoder import AdaptedEncoder
from peftrec.recipe import Recipe, apply_overrides, make_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare

PEFTREC, ITEMS, INTEREST, REFERENCES_OF = "peftrec", "peftrec, fusion.items", "interest", "references"
REFERENCES: dict[str, type[Reference]] = {
    "popularity": Popularity,
    "own frequency": OwnFrequency,
    "item-kNN": ItemKNN,
    "EASE": EASE,
    "ALS": ALS,
    "BPR": BPR,
    "SASRec": SASRec,
    "SASRec over texts": TextSASRec,
}
CHOSEN_BY = 4_000  # validation rows that references are chosen by, at most


def work(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure it."""
    what, seed = spec["what"], spec["seed"]
    rows = WHOLE if what == INTEREST else spec["rows"]
    written(spec["set"], Path(spec["data"]), rows, folder / "tables")
    raw = recipe_for(spec["set"], folder / "tables", "like" if what == INTEREST else TASK, seed, what == ITEMS)
    recipe, started = make_recipe(apply_overrides(raw, spec["keys"])), time.process_time()
    if what == REFERENCES_OF:
        found = references(recipe, seed, folder, read_json(Path(spec["first"]) / "result.json") if seed else None)
    else:
        found = peftrec(recipe, what, folder)
    said = {key: spec[key] for key in ("set", "rows", "keys", "what", "seed")}
    return said | {"cpu_seconds": time.process_time() - started, **found}


def peftrec(recipe: Recipe, what: str, folder: Path) -> dict[str, Any]:
    """Train it; the report of interest, or of the next item the ranks."""
    setup = prepare(recipe)
    setup.model.encoder.disk = True  # the same texts again and again
    fit(setup)
    if what == INTEREST:
        return {"report": evaluate(setup.model, setup.dataset, setup.tasks, "test")["tasks"]["like"]}
    keep(setup.dataset, ranked(setup.model, setup.dataset, "test")[1], folder / f"{what}.parquet")
    return {}


def references(recipe: Recipe, seed: int, folder: Path, first: dict[str, Any] | None) -> dict[str, Any]:
    """Fit all, with the constants that validation rows choose or those of the first seed; but for the first, those
    alone that depend on the seed."""
    dataset = load_data(recipe)
    task = dataset.tasks[TASK]
    dataset = replace(dataset, tasks={TASK: replace(task, valid=task.valid.thinned(CHOSEN_BY))})
    known, found = Known(dataset, item_vectors(recipe, dataset)), {}
    for name, make in REFERENCES.items():
        if (make is OwnFrequency and not task.test.repeats) or (seed and not make.seeded):
            continue
        started = time.process_time()
        if first is None:
            tried, scorer = chosen_by_validation(known, make)
        else:
            tried = first["references"][name]["tried"][:1]
            scorer = make(known, seed, **{constant: tried[0][constant] for constant in make.ladders})
        chosen = {constant: tried[0][constant] for constant in make.ladders}
        keep(dataset, ranked(scorer, dataset, "test")[1], folder / f"{name}.parquet")
        ends = [of for of in at_end(make.ladders, chosen) if chosen[of] != make.natural.get(of)]
        epochs = {"epochs": scorer.epochs} if isinstance(scorer, SASRec) else {}
        seconds = time.process_time() - started
        found[name] = {"chosen": chosen | epochs, "tried": tried, "at_end": ends, "cpu_seconds": seconds}
    return {"references": found}


def chosen_by_validation(known: Known, make: type[Reference]) -> tuple[list[dict[str, Any]], Reference]:
    """What was tried, the best first, and what was fitted with that, of the first seed."""
    best: list[tuple[float, Reference]] = []

    def value(constants: dict[str, Any]) -> float:
        scorer = make(known, 0, **constants)
        found = ranked(scorer, known.dataset, "valid")[0]
        if not best or found > best[0][0]:
            best[:] = [(found, scorer)]
        return found

    return climb(make.ladders, make.begin, value, make.tries), best[0][1]


def item_vectors(recipe: Recipe, dataset: Dataset) -> np.ndarray:
    """What the frozen backbone says of each item's text, of length one, float32 (items, D)."""
    encoder = AdaptedEncoder(load_backbone(recipe.backbone, torch.device("cpu")), dataset.texts, {})
    encoder.disk = True
    rows, place = np.unique(dataset.items_of(TASK).rows, return_inverse=True)
    vectors = encoder.frozen_vectors(rows.astype(np.int64))
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[place]
    return found


def keep(dataset: Dataset, outcome: Any, file: Path) -> None:
    """Write a line a test row."""
    data = dataset.tasks[TASK]
    rows_of(outcome, data, "next-item").assign(repeat=data.test.repeated()).to_parquet(file, index=False)


if __name__ == "__main__":
    deliver(work)
