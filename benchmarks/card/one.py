"""One data set of the card, in a process of its own: its tables written, its recipe trained, its baselines fitted.

    python -m benchmarks.card.one SPEC.json OUT

SPEC.json: {"set", "data", "rows", "keys", "chinese"}. OUT, a folder, appears when all is done: result.json, the tables
and the run.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.card.baselines import BASELINES, Found, Given, Vectors
from benchmarks.card.judge import JUDGED_BY, judged, over_baselines
from benchmarks.card.sets import SETS, recipe_of
from benchmarks.children import deliver
from peftrec.data.dataset import Dataset
from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.metrics import find_metric
from peftrec.machine.files import read_json
from peftrec.model.backbone.files import locate
from peftrec.recipe import Recipe, TextsConfig, apply_overrides, make_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.grades import reported_grades
from peftrec.training.loop import train

TOKENS = 256  # of a text at most, as recipes have it by default
# Kind -> the sort of table that its rows are of, where those are no events; with `label` they are texts.
SORTS = {"classification": "texts", "match-query": "queries"}


def frozen_vectors(name: str) -> Vectors:
    """Mean-pooled vectors of length one, by Transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder, _ = locate(name)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    @torch.no_grad()
    def vectors(texts: list[str]) -> np.ndarray:
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for some in np.array_split(order, -(-len(texts) // 64)):
            said = [texts[n] for n in some]
            tokens = tokenizer(said, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
            states, mask = model(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
            found[some] = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()
        return found

    return vectors


def given_of(
    task: str, recipe: Recipe, frames: Mapping[str, pd.DataFrame], dataset: Dataset, run: Path, vectors: Vectors
) -> Given:
    """What the baselines of a task read; `frames`: the recipe's tables by name."""
    keys, data = recipe.tasks[task], recipe.data
    sort = "texts" if keys.label else SORTS.get(keys.kind, "events")
    name = keys.table or next(table for table, of in data.named.items() if of.kind == sort)
    of = data.named[name]
    return Given(
        table=frames[name].reset_index(drop=True),
        items=pd.DataFrame() if isinstance(of, TextsConfig) else frames[data.catalogue_of(name)],
        train=np.asarray(dataset.tasks[task].train.row),
        valid=np.asarray(dataset.tasks[task].valid.row),
        test=pd.read_parquet(run / "test" / f"{task}.parquet"),
        column=keys.column or keys.label_column or (of.label if isinstance(of, TextsConfig) else None),
        threshold=keys.threshold,
        vectors=vectors,
        repeats=dataset.tasks[task].test.repeats,
    )


def line_of(kind: str, given: Given, report: dict[str, Any], run: Path, task: str) -> dict[str, Any]:
    """One line of the card; see `judged`."""
    name, test, form = JUDGED_BY[kind], given.test, kind
    given.check_ids()
    if kind == "regression" and "text" in given.table:
        form = "regression of texts"
    if kind == "match-query" and "grade" not in given.table:
        form = "match-query without grades"
    found = BASELINES[form](given)
    label, users = np.asarray(test["label"]), test["group"].to_numpy().astype(str)
    group, metric = users, of_places(name)
    if form in ("next-item", "match-query without grades"):
        assert metric is not None
        prediction = pd.read_parquet(run / "test" / f"{task}.ranks.parquet")["rank"].to_numpy()
        chance, group = (
            np.random.default_rng(0).integers(1, 1 + len(given.items), len(prediction)),
            np.arange(len(users)),
        )
    else:
        metric, prediction = find_metric(name).of(reported_grades(report)), np.stack(test["prediction"].to_list())
        if form == "match-query":
            found = {name: _expected(score, prediction.shape[1]) for name, score in found.items()}
        chance = _knowing_nothing(form, given, found, prediction)
    baseline = over_baselines(metric, prediction, found, label, group, users)
    return {"kind": kind} | judged(report, name, metric.higher, baseline, metric(chance, label, group))


def _expected(score: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities (N, C) of the lowest and the highest grade alone, whose expected grade rises with a score (N,)."""
    between = (score - score.min()) / max(score.max() - score.min(), 1e-9)
    return np.stack([1 - between, *[np.zeros(len(score))] * (classes - 2), between], axis=1)


def _knowing_nothing(kind: str, given: Given, found: Found, prediction: np.ndarray) -> np.ndarray:
    """Predictions of the commonest class, the median, or at random."""
    if kind == "classification":
        _, label = np.unique(given.table[given.column].astype(str), return_inverse=True)
        return np.eye(prediction.shape[1])[np.full(len(prediction), np.bincount(label[given.known]).argmax())]
    if "median" in found:
        return found["median"]
    chance = np.random.default_rng(0).random(len(prediction))
    return _expected(chance, prediction.shape[1]) if kind == "match-query" else chance


def work(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Everything of one data set."""
    frames = SETS[spec["set"]].tables(Path(spec["data"]), spec["rows"])
    (folder / "tables").mkdir()
    for name, frame in frames.items():
        frame.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    recipe = make_recipe(apply_overrides(recipe_of(spec["set"], folder / "tables", spec["chinese"]), spec["keys"]))
    started = time.monotonic()
    run = train(recipe, run=folder / "run")
    seconds = time.monotonic() - started
    lines = card_lines(recipe, frames, run)
    return {"set": spec["set"], "rows": spec["rows"], "keys": spec["keys"], "seconds": seconds, "tasks": lines}


def card_lines(recipe: Recipe, frames: Mapping[str, pd.DataFrame], run: Path) -> dict[str, Any]:
    """Task -> its line, of a finished run of the recipe; `frames`: its tables by name."""
    report, dataset = read_json(run / "report.json"), load_data(recipe)
    vectors = frozen_vectors(recipe.backbone.name)
    lines = {}
    for task, keys in recipe.tasks.items():
        given = given_of(task, recipe, frames, dataset, run, vectors)
        lines[task] = line_of(keys.kind, given, report["tasks"][task], run, task)
    return lines


if __name__ == "__main__":
    deliver(work)
