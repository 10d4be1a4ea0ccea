"""peftrec's own next-item task on the rows and by the protocol of references.py: each user's last liked film.

    python benchmarks/next_item.py SPEC.json OUT

The shipped recipe movielens-100k-retrieval, three seeds; `peftrec train` ranks for every liked test row instead.
"""

import sys
from pathlib import Path

from peftrec.checkpoint import read_json, write_json
from peftrec.checkpoint.files import new_folder, partial
from peftrec.environment import environment, peak_memory_mb
from peftrec.evaluation import evaluate_task
from peftrec.shipped import load_recipe
from peftrec.training import fit, prepare

SEEDS = 3


def main() -> None:
    """Train, rank, and put the folder in its place."""
    read_json(Path(sys.argv[1]))  # nothing to choose
    out = Path(sys.argv[2])
    with new_folder(out, partial(out)) as folder:
        reports = []
        for seed in range(SEEDS):
            setup = prepare(load_recipe("movielens-100k-retrieval", [f"train.seed={seed}"]))
            setup.model.encoder.update()
            progress = fit(setup)
            options = {"metrics": (), "priors": (), "ranking": "users", "ranking_priors": ("popularity_so_far",)}
            report = evaluate_task(setup.model, setup.dataset, "next", "test", **options)
            reports.append(report | {"seconds": progress.seconds})
        result = {"reports": reports, "peak_memory_mb": peak_memory_mb(), "environment": environment()}
        write_json(folder / "result.json", result)


if __name__ == "__main__":
    main()
