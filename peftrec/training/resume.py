"""A training's checkpoints: when one is due, what it holds, and going on from the newest that is intact."""

import time
from pathlib import Path
from typing import Any

from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.progress import note
from peftrec.recipe import CheckpointConfig
from peftrec.runs.checkpoints import Tensors, newest_checkpoint, read_checkpoint, step_of, write_checkpoint
from peftrec.training.fingerprint import differences
from peftrec.training.sharding import gather
from peftrec.training.snapshot import Progress, TrainingState, read_progress


class Checkpoints:
    """The checkpoints of the unfinished `run`, each with the `origin` of its training (`peftrec.training.fingerprint`).

    With `resume` the training goes on from the newest that is intact, or begins when there is none yet. Raises
    UserError when all are damaged, or when recipe, data, weights or packages changed since, naming the changes;
    `allow_changes` goes on all the same.
    """

    def __init__(
        self,
        run: Path,
        config: CheckpointConfig,
        origin: dict[str, Any],
        resume: bool = False,
        allow_changes: bool = False,
    ) -> None:
        self.run, self.keep, self.origin = run, config.keep, origin
        number, unit = config.every.split()
        self._steps = int(number) if unit.startswith("step") else None
        self._seconds = float(number) * 60
        self._written = time.monotonic()
        self._begin: Path | None = None
        self._same = True
        if resume:
            self._begin, skipped = newest_checkpoint(run)
            for line in skipped:
                note(line)
            if self._begin is None:
                note(f"{run}: no checkpoint was written yet: starting at the first step")
            else:
                self._compare(self._begin, allow_changes)

    def _compare(self, begin: Path, allow_changes: bool) -> None:
        changed, machine = differences(read_checkpoint(begin)[1]["origin"], self.origin)
        for line in machine:
            note(f"{line}: the last bits of the results may differ")
        if changed and not allow_changes:
            listed = "\n".join(f"  {line}" for line in changed)
            raise UserError(
                f"{self.run}: cannot be continued, since after its checkpoint of step {step_of(begin)} this changed:\n"
                f"{listed}\nchange it back, continue all the same with --allow-changes, or train under another name"
            )
        for line in changed:
            note(f"changed: {line}")
        self._same = not changed

    @property
    def refitting(self) -> Progress | None:
        """Where the second training of `train.refit` stood, if training goes on from a checkpoint of that."""
        at = None if self._begin is None else read_progress(read_checkpoint(self._begin)[1]["state"])
        return None if at is None or at.refit is None else at

    def restore(self, state: TrainingState) -> None:
        """Put the state of the checkpoint that training goes on from into `state`; nothing on a fresh start, nor when
        that was done: a second training (`train.refit`) begins afresh."""
        if self._begin is not None:
            tensors, values = read_checkpoint(self._begin)
            self._begin = None
            state.load(tensors, values["state"], self._same)
            note(f"continuing after step {state.progress.step}")

    def keep_up(self, state: TrainingState, now: bool) -> None:
        """Write a checkpoint when one is due after this step, or `now`; older ones go once it is verified.

        All processes call it, the first one writes. Raises UserError, with the earlier ones intact.
        """
        if processes.on_first(lambda: now or self._due(state.progress.step)):
            tensors = gather(state.tensors())
            processes.on_first(lambda: self._write(state, tensors))

    def _write(self, state: TrainingState, tensors: Tensors) -> None:
        values = {"state": state.values(), "origin": self.origin}
        write_checkpoint(self.run, state.progress.step, tensors, values, self.keep)
        self._written = time.monotonic()

    def _due(self, step: int) -> bool:
        if self._steps is not None:
            return step % self._steps == 0
        return time.monotonic() - self._written >= self._seconds
