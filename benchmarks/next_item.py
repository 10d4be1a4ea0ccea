"""peftrec's own next-item task on the rows and by the protocol of references.py: each user's last liked film.

    python benchmarks/next_item.py SPEC.json OUT

The shipped recipe movielens-100k-retrieval, three seeds; `peftrec train` ranks for every liked test row instead.
"""

from typing import Any

from children import deliver

from peftrec.environment import environment, peak_memory_mb
from peftrec.evaluation import evaluate_task
from peftrec.shipped import load_recipe
from peftrec.training import fit, prepare

SEEDS = 3


def measure() -> dict[str, Any]:
    """Train and rank with every seed."""
    reports = []
    for seed in range(SEEDS):
        setup = prepare(load_recipe("movielens-100k-retrieval", [f"train.seed={seed}"]))
        setup.model.encoder.update()
        progress = fit(setup)
        options = {"metrics": (), "priors": (), "ranking": "users", "ranking_priors": ("popularity_so_far",)}
        report = evaluate_task(setup.model, setup.dataset, "next", "test", **options)
        reports.append(report | {"seconds": progress.seconds})
    return {"reports": reports, "peak_memory_mb": peak_memory_mb(), "environment": environment()}


if __name__ == "__main__":
    deliver(lambda spec, folder: measure())  # nothing to choose
