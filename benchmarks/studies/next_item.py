"""peftrec's own next-item task on the rows and by the protocol of references.py: each user's last liked film.

    python -m benchmarks.studies.next_item SPEC.json OUT

The shipped recipe movielens-100k-retrieval, three seeds; `peftrec train` ranks for every liked test row instead.
"""

import time
from typing import Any

from benchmarks.children import deliver
from benchmarks.studies.references import ranks
from peftrec.evaluation.at_k import CHOICE
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.evaluation.outcomes import Outcome
from peftrec.machine.memory import peak_memory_mb
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.kind import RANKING
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare

SEEDS = 3


def measure() -> dict[str, Any]:
    """Train and rank with every seed."""
    reports = []
    for seed in range(SEEDS):
        setup = prepare(load_recipe("movielens-100k-retrieval", [f"train.seed={seed}"]))
        setup.model.encoder.update()
        started, outcomes = time.process_time(), dict[str, Outcome]()
        progress = fit(setup)
        seconds = time.process_time() - started
        options: dict[str, Any] = {
            "measures": Measures((), RANKING, (), tuple(CHOICE)),
            "priors": (),
            "ranking": "users",
            "ranking_priors": ("popularity_so_far",),
        }
        report = evaluate_task(setup.model, setup.dataset, "next", "test", outcomes=outcomes, **options)
        reports.append(report | {"cpu_seconds": seconds, "steps": progress.step, "ranks": ranks(outcomes["next"])})
    return {"reports": reports, "peak_memory_mb": peak_memory_mb()}


if __name__ == "__main__":
    deliver(lambda spec, folder: measure())  # nothing to choose
