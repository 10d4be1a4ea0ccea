"""What the validation rows say of a model in training."""

from collections.abc import Callable

from peftrec.evaluation.evaluate import evaluate
from peftrec.machine import processes
from peftrec.training.prepare import Setup
from peftrec.training.sharding import whole
from peftrec.training.stopping import Scores


def validate(setup: Setup, judge: Callable[[Scores], None] | None = None) -> Scores:
    """Each trained task's metrics on its validation rows, also given to the `judge`; nothing for one without rows.

    Where rows have weights their `weighted_loss` is among them.
    """
    tasks = {n: t for n, t in setup.trained.items() if len(setup.dataset.tasks[n].valid)}

    def measured() -> Scores:
        report = evaluate(setup.model, setup.dataset, tasks, "valid", resamples=0, priors=False)
        scores = {name: of["metrics"] for name, of in report["tasks"].items()}
        for name, of in report["tasks"].items():
            if "weighted_loss" in of:
                scores[name]["weighted_loss"] = of["weighted_loss"]
        if judge is not None:
            judge(scores)
        return scores

    with whole(setup.model):
        return processes.on_first(measured)
