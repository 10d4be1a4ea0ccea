"""The second training of `train.refit`: on the rows of train and valid together, as long as the first was good for."""

from dataclasses import replace
from typing import Any

from peftrec.machine.progress import note
from peftrec.training.prepare import Setup, prepare
from peftrec.training.snapshot import Progress, Refit
from peftrec.training.step import steps_an_epoch


def refit_of(setup: Setup, done: Progress) -> Refit:
    """How long the second training is: as many epochs, which have more steps now, as led to the weights that the first
    one kept, without what it tried after them; where they were cooled down, the same cool-down. A task that kept its
    own parts of an earlier epoch does so again. Where every task answers as its start does there is nothing to train.
    """
    if _kept_nothing(setup, done):
        return Refit(done.step, 0, 0, {})
    an_epoch, main, last, cooldown = steps_an_epoch(setup), done.kept, 0, done.cooldown
    if cooldown is not None and done.kept > cooldown.first:
        main, last = cooldown.best, cooldown.steps
    # Only what lies on the way to the weights that were kept is passed again.
    own = {name: step / an_epoch for name, step in done.own_kept.items() if step < main}
    return Refit(done.step, main / an_epoch, last / an_epoch, own)


def _kept_nothing(setup: Setup, done: Progress) -> bool:
    """Whether nothing of what any task learned was kept; of items of a catalogue the vectors may still be others."""
    learned = [task.loss.labels == "choice" or done.shares.get(name) != 0 for name, task in setup.trained.items()]
    return not any(learned)


def prepare_refit(setup: Setup, refit: Refit) -> Setup:
    """What the second training begins with: weights drawn as for the first, and no validation rows left."""
    again = prepare(setup.recipe, settled_as=setup.config)
    rows = ", ".join(f"{name} {len(again.dataset.tasks[name].train):,}" for name in again.trained)
    note(
        f"train.refit: again on the rows of train and valid ({rows}), {refit.epochs:.3g} epochs; no valid rows are left"
    )
    return again


def begin_refit(done: Progress, refit: Refit) -> Progress:
    """The progress of both trainings, the second of which is at its beginning."""
    return replace(done, refit=refit, cooldown=None, means={}, own_kept={})


def describe_refit(setup: Setup, done: Progress) -> dict[str, Any]:
    """What the report says of it; nothing where there was none."""
    if done.refit is None:
        return {}
    rows = {name: len(setup.dataset.tasks[name].train) for name in setup.trained}
    epochs = done.own / steps_an_epoch(setup)
    return {"refit": {"epochs": epochs, "steps": done.own, "train_rows": rows, "valid_rows": 0}}
