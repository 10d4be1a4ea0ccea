"""Accelerate's trackers get the lines of metrics.jsonl while a model trains; resumed, it goes on in the same log."""

import importlib.util
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from peftrec.errors import UserError
from peftrec.machine.progress import note
from peftrec.recipe import Recipe, dump_recipe
from peftrec.recipe.dotted import dotted
from peftrec.training.snapshot import Progress

PROJECT = "peftrec"  # what trackers with projects or experiments file every training under

# The run's folder, what the tracker called this training in an earlier session (None: a new one), the steps done ->
# arguments of Accelerate's class.
Arguments = Callable[[Path, str | None, int], dict[str, Any]]


@dataclass(frozen=True)
class Tracker:
    """One of Accelerate's trackers.

    package    what it imports, and `install` what brings that
    arguments  of Accelerate's class
    identity   a started tracker -> what to ask for to go on in its log
    at         what it takes for the @ in names such as ndcg@10
    """

    package: str
    install: str
    arguments: Arguments
    identity: Callable[[Any], str]
    at: str = "@"


def _tensorboard(run: Path, known: str | None, step: int) -> dict[str, Any]:
    # What an earlier session logged after the step that this one begins at is hidden: it will be logged again.
    purge = step + 1 if step else 0
    return {"run_name": run.name, "logging_dir": tensorboard_folder(run), "purge_step": purge}


def _trackio(run: Path, known: str | None, step: int) -> dict[str, Any]:
    named = {
        "name": known or f"{run.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        "resume": "must" if known else "never",
    }
    # No sampling of the machine beside ours, and no dashboard inside a notebook.
    return {"run_name": PROJECT, **named, "auto_log_cpu": False, "auto_log_gpu": False, "embed": False}


def _wandb(run: Path, known: str | None, step: int) -> dict[str, Any]:
    return {"run_name": PROJECT, **({"id": known, "resume": "must"} if known else {"name": run.name})}


def _mlflow(run: Path, known: str | None, step: int) -> dict[str, Any]:
    return {"experiment_name": PROJECT, **({"run_id": known} if known else {"run_name": run.name})}


TRACKERS = {
    "tensorboard": Tracker("tensorboard", "peftrec[tensorboard]", _tensorboard, lambda tracker: str(tracker.run_name)),
    "trackio": Tracker("trackio", "peftrec[trackio]", _trackio, lambda tracker: str(tracker.tracker.name)),
    "wandb": Tracker("wandb", "wandb", _wandb, lambda tracker: str(tracker.tracker.id)),
    "mlflow": Tracker("mlflow", "mlflow", _mlflow, lambda tracker: str(tracker.tracker.info.run_id), "_at_"),
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise UserError when the package of one of these trackers is missing, with what to install."""
    for name in names:
        if importlib.util.find_spec(TRACKERS[name].package) is None:
            raise UserError(
                f"train.track: {name} needs the package {TRACKERS[name].package}, which is not installed: "
                f"pip install '{TRACKERS[name].install}', or leave {name} out"
            )


def tensorboard_folder(run: Path) -> Path:
    """Where the logs of the runs beside `run` are, a folder each: for `tensorboard --logdir`."""
    return run.parent / "tensorboard"


class Trackers:
    """The trackers of one training of `run`, none until `start`; leaving the block closes them.

    One that fails while training is left out from then on and named: a training does not end for it. After a kill the
    steps since the last checkpoint are logged again, with the same losses; TensorBoard hides their first showing.
    """

    def __init__(self, recipe: Recipe, run: Path) -> None:
        self.recipe, self.run = recipe, run
        self.open: dict[str, Any] = {}

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name in list(self.open):
            self._ask(name, lambda tracker: tracker.finish())
        self.open.clear()

    def start(self, at: Progress) -> None:
        """Open every tracker of the recipe, going on in the logs that `at` names. Raises UserError where one cannot."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        for name in dict.fromkeys(self.recipe.train.track):
            one, known = TRACKERS[name], at.trackers.get(name)
            try:
                tracker = LOGGER_TYPE_TO_CLASS[name](**one.arguments(self.run, known, at.step))
                tracker.start()
                at.trackers[name] = one.identity(tracker)
            except Exception as error:  # whatever the tracker's package raises
                raise UserError(f"train.track: {name} cannot be started: {error}; leave it out to train") from error
            self.open[name] = tracker
            if known is None:
                self._ask(name, self._describe)

    def _describe(self, tracker: Any) -> None:
        if tracker.name == "tensorboard":  # its own form of a configuration is a run of its own, named by the clock
            tracker.log({"recipe": textwrap.indent(dump_recipe(self.recipe), "    ")}, step=0)
        else:
            values = dict(dotted(self.recipe.model_dump(mode="json")))
            tracker.store_init_configuration(
                {
                    key: value if isinstance(value, bool | int | float | str) else str(value)
                    for key, value in values.items()
                }
            )

    def log(self, line: dict[str, Any]) -> None:
        """Give every tracker a line's numbers, under the names of its keys: train_loss/query, valid/query/auc."""
        values = {key: float(value) for key, value in dotted(line, "/") if isinstance(value, int | float)}
        step = line["step"]
        del values["step"]
        for name in list(self.open):
            named = {key.replace("@", TRACKERS[name].at): value for key, value in values.items()}
            self._ask(name, partial(_log, named, step))

    def _ask(self, name: str, what: Callable[[Any], None]) -> None:
        try:
            what(self.open[name])
        except Exception as error:  # whatever the tracker's package raises
            failed = self.open.pop(name)
            with suppress(Exception):  # so that what it holds open does not bar the next training
                failed.finish()
            note(
                f"{name} failed, and is left out from here on ({type(error).__name__}: {error}); metrics.jsonl has all"
            )


def _log(values: dict[str, float], step: int, tracker: Any) -> None:
    tracker.log(values, step=step)
