"""What cheap predictions reach on the test rows of the experiments with cells: every neural row stands beside them.

    python -m benchmarks.studies.priors SPEC.json OUT

SPEC.json: {"options": {"experiments": [name]}}; the data are those of the experiment's cells with all tasks together.
"""

from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.children import deliver
from benchmarks.matrix.plan import cells, read_experiments
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.machine.progress import track_rows
from peftrec.model.backbone import load_backbone
from peftrec.model.encoder import AdaptedEncoder
from peftrec.model.scorer import Scorer
from peftrec.recipe import Recipe, make_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kind import RANKING
from peftrec.tasks.kinds import KINDS
from peftrec.tasks.priors import Vectors


def priors_of(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """task -> {"n", "ranked", "priors": {prior: {metric: value}}} on the test split."""
    found, scorer = {}, _Even(recipe, data)
    for task, of in recipe.tasks.items():
        kind = KINDS[of.kind]
        measures = Measures(next(iter(kind.metrics.values())), RANKING if of.kind == "interest" else ())
        report = evaluate_task(
            scorer, data, task, "test", measures=measures, priors=kind.priors, resamples=0,
            ranking="users" if of.kind == "interest" else "none", ranking_priors=kind.ranking,
        )  # fmt: skip
        found[task] = {"n": report["n"], "ranked": report.get("ranked"), "priors": report["priors"]}
    return found


def measure(names: list[str]) -> dict[str, Any]:
    """The priors of each experiment."""
    found = {}
    for name, experiment in read_experiments("full", names).items():
        recipe = make_recipe(next(c["recipe"] for c in cells(experiment).values() if c["where"]["tasks"] == "together"))
        found[name] = priors_of(recipe, load_data(recipe))
    return {"experiments": found}


class _Even(Scorer):
    """Predicts nothing; only the priors beside it are read, some of which ask the recipe's backbone."""

    def __init__(self, recipe: Recipe, data: Dataset) -> None:
        self.data = data
        self.encoder = AdaptedEncoder(load_backbone(recipe.backbone, torch.device("cpu")), data.texts, {})
        self.encoder.disk = True

    @property
    def frozen_vectors(self) -> Vectors:
        """As the backbone gives them."""
        return partial(self.encoder.frozen_vectors, track=track_rows)

    def predict(self, task: str, rows: Examples) -> np.ndarray:
        classes = len(self.data.tasks[task].classes)
        return np.full((len(rows), classes) if classes else len(rows), 1 / max(2, classes))


if __name__ == "__main__":
    deliver(lambda spec, folder: measure(spec["options"]["experiments"]))
