"""The run of a training that is over: measured on the test rows, and written."""

import time
from pathlib import Path

from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.outcomes import Outcome, write_outcomes
from peftrec.evaluation.values import Report
from peftrec.machine.environment import environment
from peftrec.machine.progress import note
from peftrec.runs.cards import write_cards
from peftrec.runs.saved import save_run
from peftrec.training.costs import costs
from peftrec.training.defaults import Settled
from peftrec.training.prepare import Setup
from peftrec.training.refit import describe_refit
from peftrec.training.snapshot import Progress
from peftrec.training.trackers import Trackers


def finish(
    folder: Path,
    setup: Setup,
    chosen: Settled,
    progress: Progress,
    trackers: Trackers,
    start: Report,
    started: float,
) -> None:
    """Evaluate on the test split, and write the run's files. `chosen`: what the first training went by; `start`: what
    the model was before it."""
    note("evaluating on the test split, with intervals and priors")
    recipe, dataset, model, outcomes = setup.recipe, setup.dataset, setup.model, dict[str, Outcome]()
    report = evaluate(model.eval(), dataset, setup.tasks, "test", ranking=True, outcomes=outcomes)
    for task, of in report["tasks"].items():
        of["start"] = start["tasks"][task]["metrics"]
        if (began := setup.began_at(task)) is not None:
            of["began_at"] = began
        if task in progress.own_kept:
            of["own_step"] = progress.own_kept[task]
        if task in progress.shares:
            of["kept"] = progress.shares[task]
    trackers.log({"step": progress.step, "test": {task: of["metrics"] for task, of in report["tasks"].items()}})
    report["cost"] = costs(model, progress) | {"total_seconds": time.monotonic() - started}
    report |= {"train": chosen.model_dump(mode="json"), **describe_refit(setup, progress)}
    report["notes"] = setup.notes
    report["environment"] = environment()
    save_run(folder, recipe, dataset, model, report, progress.history)
    write_cards(folder, recipe, setup.tasks, dataset, model, report)
    write_outcomes(folder, outcomes)
