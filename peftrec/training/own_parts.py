"""Each task's own parts, its head and what it has of adapter and fusion for itself, at its own best epoch.

Tasks that learn together are best at different epochs. The shared part is that of the joint best, and each task may
have its own parts of an epoch of its own over it, where its validation rows say that these do better there.
"""

from collections.abc import Mapping

from peftrec.training.snapshot import Progress
from peftrec.training.step import Steps
from peftrec.training.stopping import Best, BestEpoch, error, own_parts
from peftrec.training.validation import validate


def take_own(steps: Steps, stopper: BestEpoch, at: Progress) -> dict[str, int]:
    """Give tasks their own parts of their own best epochs where these are better, over the shared part of the joint
    best, than those of that; returns after which steps they were, by task.

    In the second training of a refit it is the tasks for which the first found so.
    """
    own = {name: best for name, best in stopper.own.items() if best.step != at.kept}
    if not own:
        return {}
    joint = {name: Best() for name in own}
    for name, best in joint.items():
        best.see(0.0, at.kept, own_parts(name, steps.trainable))
    before = {} if at.refit else _errors(steps, own)
    for best in own.values():
        best.restore(steps.trainable)
    after = {} if at.refit else _errors(steps, own)
    worse = [name for name in before if after[name] >= before[name]]
    for name in worse:
        joint[name].restore(steps.trainable)
    return {name: best.step for name, best in own.items() if name not in worse}


def _errors(steps: Steps, tasks: Mapping[str, Best]) -> dict[str, float]:
    """Of these tasks on their validation rows."""
    return {name: error(steps.setup.tasks[name], of) for name, of in validate(steps.setup, tasks=[*tasks]).items()}


def see_own(steps: Steps, stopper: BestEpoch, at: Progress) -> None:
    """In the second training of a refit: take tasks' own parts after as many epochs as they had in the first."""
    assert at.refit is not None
    for name, epochs in at.refit.own.items():
        if at.own == round(epochs * steps.per_epoch):
            stopper.own[name] = Best()
            stopper.own[name].see(0.0, at.step, own_parts(name, steps.trainable))
