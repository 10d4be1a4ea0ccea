"""What the validation rows say of a model in training."""

from collections.abc import Callable, Iterable

from peftrec.evaluation.evaluate import evaluate
from peftrec.machine import processes
from peftrec.training.prepare import Setup
from peftrec.training.sharding import whole
from peftrec.training.stopping import Scores


def validate(setup: Setup, judge: Callable[[Scores], None] | None = None, tasks: Iterable[str] | None = None) -> Scores:
    """The metrics of each trained task, or of `tasks`, on its validation rows, also given to the `judge`; nothing for
    one without rows.

    Where rows have weights their `weighted_loss` is among them.
    """
    asked = setup.trained if tasks is None else tasks
    known = {name: setup.tasks[name] for name in asked if len(setup.dataset.tasks[name].valid)}

    def measured() -> Scores:
        report = evaluate(setup.model, setup.dataset, known, "valid", resamples=0, priors=False)
        scores = {name: of["metrics"] for name, of in report["tasks"].items()}
        for name, of in report["tasks"].items():
            if "weighted_loss" in of:
                scores[name]["weighted_loss"] = of["weighted_loss"]
        if judge is not None:
            judge(scores)
        return scores

    with whole(setup.model):
        return processes.on_first(measured)
