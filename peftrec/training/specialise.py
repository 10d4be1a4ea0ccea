"""The stage `specialise`: after the joint training each task's own parts are trained over the shared one, which stays.

It is the same loop, with what is shared frozen. Nothing that one task moves is then read by another, so each has its
own best epoch of it, the joint training's end among them, and keeps of all that it learned the share that is best.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from peftrec.training.defaults import Watching
from peftrec.training.prepare import Setup
from peftrec.training.snapshot import Progress


@contextmanager
def specialised(setup: Setup, epochs: int) -> Iterator[Setup]:
    """The setup of the stage, of so many epochs, in which learning rates fall evenly to 0; what is shared is frozen
    inside the block."""
    shared = [p for name, p in setup.model.trainable().items() if name.split("/")[1] not in setup.tasks]
    watching = Watching(patience=epochs, metric=None)
    stage = {"epochs": epochs, "max_steps": None, "schedule": "linear", "early_stopping": watching}
    for parameter in shared:
        parameter.requires_grad_(False)
    try:
        yield replace(setup, config=setup.config.model_copy(update=stage))
    finally:
        for parameter in shared:
            parameter.requires_grad_(True)


def begin_specialised(done: Progress) -> Progress:
    """The progress of the joint training and the stage, which is at its beginning."""
    return replace(done, specialised=done.step, cooldown=None, means={})
