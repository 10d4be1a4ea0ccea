"""How a training ends: when it is over, the cool-down from the best weights, and what is said of it."""

import math
import statistics

from peftrec.machine.progress import note
from peftrec.training.optim import Cooldown, cooldown_steps
from peftrec.training.own_parts import see_own, take_own
from peftrec.training.shrinking import Weights, shrink
from peftrec.training.snapshot import Progress, Refit
from peftrec.training.step import Steps
from peftrec.training.stopping import BestEpoch

FALLING = 0.01  # share of the loss that must have gone in the last epoch for a training to be called too short


def ended(steps: Steps, stopper: BestEpoch, at: Progress) -> bool:
    """Whether training is over after the step that `at` names.

    Where early stopping or `schedule: cooldown` leaves learning rates that have not fallen to 0, the cool-down begins
    first: back at the best weights they fall to 0, over a fifth of the way to these or, where that is longer, an epoch,
    as far as `epochs` or `max_steps` leave steps.
    """
    if at.refit is not None:
        return _refitted(steps, stopper, at, at.refit)
    if at.cooldown is not None:
        return at.step >= at.cooldown.end
    if at.step < steps.main and not stopper.exhausted:
        return False
    config = steps.setup.config
    if config.schedule == "constant" or at.step >= steps.total:
        return True
    best = _kept(stopper, at)
    length = min(max(cooldown_steps(best), steps.per_epoch), steps.total - at.step)
    at.cooldown = Cooldown(at.step, length, best)
    stopper.joint.restore(steps.trainable)
    why = f"no better for {stopper.patience} epochs" if stopper.exhausted else "so far the epochs go"
    note(f"step {at.step}: {why}: back to step {best}, and {length} steps in which the learning rates fall to 0")
    return False


def _refitted(steps: Steps, stopper: BestEpoch, at: Progress, refit: Refit) -> bool:
    """Whether a training on all rows is over, whose length is known, as it is when tasks have their own parts."""
    see_own(steps, stopper, at)
    main, last = round(refit.main * steps.per_epoch), round(refit.cooldown * steps.per_epoch)
    if most := steps.setup.config.max_steps:  # of epochs that have more steps now
        last = min(last, most)
        main = min(main, most - last)
    if last and at.own == main:
        at.cooldown = Cooldown(main, last, main)
    return at.own >= main + last


def end(steps: Steps, stopper: BestEpoch, at: Progress, first: Weights) -> None:
    """Put the best weights back, keep of what each task learned since its outer parameters were `first` what is worth
    it, and say so."""
    stopper.joint.restore(steps.trainable)
    at.kept = _kept(stopper, at)
    at.own_kept = take_own(steps, stopper, at)
    if at.refit is not None or (stopper.joint.weights and (stopper.joint.step or at.own_kept)):
        at.shares = shrink(steps.setup, first, at.shares)
    for said in [*_notes(steps, stopper, at), steps.setup.model.work.line()]:
        note(said)


def _kept(stopper: BestEpoch, at: Progress) -> int:
    """After which step the best weights were what they are; without early stopping the last."""
    return stopper.joint.step if stopper.joint.weights else at.step


def _notes(steps: Steps, stopper: BestEpoch, at: Progress) -> list[str]:
    """What the user should know of the end: which weights are kept, and whether training was too short."""
    lines = []
    if stopper.patience and at.kept < at.step:
        said = _named(at.kept) if at.kept else "the start: training made it no better"
        lines.append(f"kept: {said} (of {at.step} steps, by the validation rows)")
    for task, step in at.own_kept.items():
        lines.append(f"{task}: its own parts are kept as they were at {_named(step)}, by the validation rows")
    if not stopper.exhausted and (falling := _falling(stopper, at)):
        key = "epochs" if steps.total == steps.setup.config.epochs * steps.per_epoch else "max_steps"
        lines.append(f"{falling} in the last epoch: raise train.{key}, which was {getattr(steps.setup.config, key)}")
    return lines


def _named(step: int) -> str:
    return f"step {step}" if step else "the start"


def _falling(stopper: BestEpoch, at: Progress) -> str:
    """Which loss was still falling before the learning rates began to fall for good; '' for none."""
    lines = [line for line in at.history if line["step"] <= (at.cooldown.first if at.cooldown else at.step)]
    of_epoch: dict[int, list[float]] = {}
    for line in lines:
        of_epoch.setdefault(math.ceil(line["epoch"]), []).append(sum(line["train_loss"].values()))
    validation = [stopper.loss(line["valid"]) for line in lines if line.get("valid")]
    training = [statistics.fmean(losses) for losses in of_epoch.values()]
    what, losses = ("validation", validation) if validation else ("training", training)
    if len(losses) < 2 or losses[-1] >= (1 - FALLING) * min(losses[:-1]):
        return ""
    return f"the {what} loss was still falling, by {1 - losses[-1] / min(losses[:-1]):.1%}"
