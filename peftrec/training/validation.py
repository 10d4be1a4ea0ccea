"""What the validation rows say of a model in training."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import numpy as np

from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.evaluation.values import AT_BEST
from peftrec.machine import processes
from peftrec.tasks.starts import start_of
from peftrec.training.doubt import judged
from peftrec.training.prepare import Setup
from peftrec.training.sharding import whole
from peftrec.training.stopping import SHARES, Scores


def validate(setup: Setup, judge: Callable[[Scores], None] | None = None, tasks: Iterable[str] | None = None) -> Scores:
    """The metrics of each trained task, or of `tasks`, on its validation rows, also given to the `judge`; nothing for
    one without rows.

    Where rows have weights their `weighted_loss` is among them, and where a head has learned beside a start AT_BEST:
    what is `judged`, at the share of what was learned that is best so far.
    """
    asked = setup.trained if tasks is None else tasks
    known = {name: setup.tasks[name] for name in asked if len(setup.dataset.tasks[name].valid)}
    begun = {name: task for name, task in known.items() if _is_scaled(setup, name)}

    def measured() -> Scores:
        setup.model.eval()  # once, not for every task; the next step switches dropout on again
        rows, scores = text_rows(setup.dataset, begun, ["valid"], ranking=False), Scores()
        with ExitStack() as stack:
            for name in begun:  # each text is encoded once for both
                kept = setup.model.encoded(name, rows[name])
                stack.enter_context(setup.model.encoder.with_vectors(name, kept))
            report = evaluate(setup.model, setup.dataset, known, "valid", resamples=0, priors=False)
            for name, of in report["tasks"].items():
                scores[name] = of["metrics"]
                if "weighted_loss" in of:
                    scores[name]["weighted_loss"] = of["weighted_loss"]
                if name in begun:
                    scores[name][AT_BEST] = _at_best(setup, name)
        if judge is not None:
            judge(scores)
        return scores

    with whole(setup.model):
        return processes.on_first(measured)


def _is_scaled(setup: Setup, task: str) -> bool:
    """Whether what the task's head says is added to a start, and was nothing at first."""
    data = setup.dataset.tasks[task]
    return start_of(data) is not None and task not in setup.starts and setup.tasks[task].loss.labels != "choice"


def _at_best(setup: Setup, task: str) -> float:
    """The least over SHARES of what the task is judged by; see `training.shrinking`."""
    data, loss = setup.dataset.tasks[task].valid, setup.tasks[task].loss
    found, label, group = setup.model.predict_at(SHARES, task, data), np.asarray(data.label), np.asarray(data.group)
    weight = np.ones(len(data)) if data.weight is None else np.asarray(data.weight, np.float64)
    if not weight.any():
        return 0.0
    return min(judged(loss, prediction, label, group)(weight) for prediction in found)
