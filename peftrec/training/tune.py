"""A search for better values of a recipe's keys: a study of trials, each a training judged on the validation split.

A study is a folder, which several processes may work on at once, now or later:

study.json      the recipe, what is searched, by which metric, from which seed: all processes must agree
journal.jsonl   optuna's journal of the trials
<recipe>-tuned.yaml   the best trial's recipe, as far as the study has come

Trials never see the test split. Trial n draws its values from (seed, n) and the trials before it, so that one process
repeats itself. Training's own seed stays the recipe's.
"""

import hashlib
import json
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.errors import Diverged, UserError
from peftrec.machine.files import read_json, to_json, write_text
from peftrec.machine.progress import note
from peftrec.recipe import Recipe, dump_recipe
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve
from peftrec.training.fingerprint import differences
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare
from peftrec.training.search_space import Dimension, parse_space, value_at, with_values
from peftrec.training.stopping import Scores, check_metric, check_watched, is_higher_better, score
from peftrec.training.validation import validate

JOURNAL, DESCRIPTION = "journal.jsonl", "study.json"
LOSS = "weighted validation loss"


def tune(
    recipe: Recipe,
    search: list[str],
    study: str | Path,
    name: str = "recipe",
    trials: int = 20,
    metric: str | None = None,
    seed: int = 0,
    cache: bool = True,
) -> dict[str, Any]:
    """Go on with the study in the folder `study`, made if need be, until it has `trials` trials.

    search  what is searched, as `peftrec.training.search_space` describes
    metric  'task.metric'; default: train.early_stopping.metric, or the validation loss weighted as in the recipe
    cache   whether the frozen part's states are looked for, and kept, on disk: computed once for all trials

    A trial that is behind is pruned: after epochs 1, 2, 4, ... only the better half goes on. One that comes to numbers
    that are not finite has failed, and counts. Returns {"study", "metric", "best", "trials", "recipe", "command"} as
    plain values. Raises UserError, also for a mistake that shows in a trial, which ends the study.
    """
    space = parse_space(search, recipe)
    if metric is None and recipe.train.early_stopping is not None:
        metric = recipe.train.early_stopping.metric
    tasks = resolve(recipe)
    check_metric(metric, tasks, "--metric")
    if recipe.data.split.kind != "given" and recipe.data.split.valid == 0:
        raise UserError("data.split.valid: trials are judged on validation rows; found 0")
    optuna, folder = _optuna(), Path(study)
    opened = _open_study(optuna, folder, recipe, space, search, metric, seed)
    try:
        while _count(opened) < trials:
            trial = opened.ask()
            opened.sampler = _sampler(optuna, seed, trial.number + 1)
            _run(optuna, opened, trial, recipe, tasks, space, metric, cache)
            if best := _best(opened):
                _write_best(folder, name, recipe, space, best, metric)
    except (KeyboardInterrupt, SystemExit) as error:
        error.add_note(f"the study has {_count(opened)} trials in {folder}: the same command goes on with it")
        raise
    except UserError:
        if all(trial.state.name == "FAIL" for trial in opened.trials) and not _count(opened):
            _forget(folder)  # so that the same folder serves once the mistake is mended
        raise
    return _result(opened, folder, name, space, metric)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError("tune: needs optuna, which is not installed: pip install 'peftrec[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _sampler(optuna: Any, seed: int, number: int) -> Any:
    return optuna.samplers.TPESampler(seed=(seed * 1_000_003 + number) % 2**32)


def _open_study(
    optuna: Any,
    folder: Path,
    recipe: Recipe,
    space: list[Dimension],
    search: list[str],
    metric: str | None,
    seed: int,
) -> Any:
    """The study in the folder: a new one, whose first trial has the recipe's own values, or the same as before."""
    described = {"recipe": recipe.model_dump(mode="json"), "search": sorted(search), "metric": metric, "seed": seed}
    new = not (folder / DESCRIPTION).exists()
    if new:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made: {error.strerror}; name another with --study") from None
        write_text(folder / DESCRIPTION, to_json(described) + "\n")
    changed, _ = differences(read_json(folder / DESCRIPTION), json.loads(to_json(described)))
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise UserError(f"{folder}: is another study:\n{listed}\nchange it back, or name another folder with --study")
    journal = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal),
        study_name="peftrec",
        direction="maximize" if is_higher_better(metric) else "minimize",
        sampler=_sampler(optuna, seed, 0),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        load_if_exists=True,
    )
    own = {dimension.key: dimension.parameter(value_at(recipe, dimension.key)) for dimension in space}
    if new:  # the sampler chooses what the recipe leaves to a default, or has outside the space
        study.enqueue_trial({key: value for key, value in own.items() if value is not None}, skip_if_exists=True)
    return study


def _forget(folder: Path) -> None:
    for file in (DESCRIPTION, JOURNAL):
        (folder / file).unlink(missing_ok=True)
    with suppress(OSError):  # what else is in it is not ours
        folder.rmdir()


def _count(study: Any) -> int:
    """How many trials are done: complete, pruned, or come to numbers that are not finite."""
    return sum(t.state.name in ("COMPLETE", "PRUNED") or "diverged" in t.user_attrs for t in study.trials)


def _best(study: Any) -> Any:
    """The best of the complete trials, or None."""
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    sign = 1 if study.direction.name == "MAXIMIZE" else -1
    return max(complete, key=lambda trial: sign * trial.value, default=None)


def _run(
    optuna: Any,
    study: Any,
    trial: Any,
    recipe: Recipe,
    tasks: Mapping[str, Task],
    space: list[Dimension],
    metric: str | None,
    cache: bool,
) -> None:
    """One trial, told to the study however it ends. Raises what ends the study."""
    state, values = optuna.trial.TrialState, {dimension.key: dimension.suggest(trial) for dimension in space}
    said, began = f"trial {trial.number} ({_shown(values)})", time.monotonic()

    def ended(how: str) -> None:
        trial.set_user_attr("seconds", time.monotonic() - began)
        note(f"{said}: {how}, {time.monotonic() - began:.0f} s")

    try:
        value = _measure(optuna, study, trial, with_values(recipe, values), tasks, metric, cache)
        ended(f"{metric or LOSS} {value:.4f}")
        study.tell(trial, value)
    except optuna.TrialPruned:
        ended("pruned")
        study.tell(trial, state=state.PRUNED)
    except Diverged as error:
        trial.set_user_attr("diverged", str(error))
        ended(f"failed: {error}")
        study.tell(trial, state=state.FAIL)
    except BaseException as error:
        study.tell(trial, state=state.FAIL)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            study.enqueue_trial(trial.params)  # it is done again when the study goes on
        if isinstance(error, UserError):
            raise UserError(f"{said}: {error}") from None
        raise


def _measure(
    optuna: Any, study: Any, trial: Any, own: Recipe, tasks: Mapping[str, Task], metric: str | None, cache: bool
) -> float:
    """Train the trial's `own` recipe and measure it as the study's recipe weighs its `tasks`."""
    sign = 1 if is_higher_better(metric) else -1
    setup = prepare(own)
    check_watched(metric, tasks, setup.dataset, "trials")
    _check_rows(study, setup.dataset, own)
    setup.model.encoder.disk = cache
    epochs = 0

    def judge(scores: Scores) -> None:
        nonlocal epochs
        epochs += 1
        trial.report(_finite(sign * score(scores, tasks, metric), metric), epochs)
        if epochs < setup.config.epochs and trial.should_prune():
            raise optuna.TrialPruned

    setup.judge = judge
    fit(setup)
    setup.judge = None
    return _finite(sign * score(validate(setup), tasks, metric), metric)  # of the weights that training would keep


def _finite(value: float, metric: str | None) -> float:
    if not np.isfinite(value):
        raise Diverged(f"{metric or LOSS} has no value")
    return value


def _check_rows(study: Any, dataset: Dataset, recipe: Recipe) -> None:
    """Whether the trial is judged on the same rows as the study's first. Raises UserError."""
    digest = hashlib.sha256()
    for name in recipe.trained:
        valid = dataset.tasks[name].valid
        for column in (valid.label, valid.group, valid.item, valid.time, valid.weight):
            if column is not None:
                digest.update(np.ascontiguousarray(column).data)
    if "rows" not in study.user_attrs:
        study.set_user_attr("rows", digest.hexdigest())
    elif study.user_attrs["rows"] != digest.hexdigest():
        raise UserError(
            "its validation rows are not those of the study's first trial, so the two cannot be compared: what is "
            "searched must not change what is measured (data.split, train.seed, a task's kind, column or threshold), "
            "and neither may the data"
        )


def _write_best(folder: Path, name: str, recipe: Recipe, space: list[Dimension], best: Any, metric: str | None) -> None:
    tuned = dump_recipe(with_values(recipe, {d.key: d.value(best.params[d.key]) for d in space}))
    write_text(
        _tuned(folder, name),
        f"# {name}, tuned: trial {best.number}, {metric or LOSS} {best.value:.6g} on the validation split\n{tuned}",
    )


def _tuned(folder: Path, name: str) -> Path:
    return folder / f"{name}-tuned.yaml"


def _result(study: Any, folder: Path, name: str, space: list[Dimension], metric: str | None) -> dict[str, Any]:
    """What `tune` returns. Raises UserError when no trial is complete."""
    best, rows = _best(study), []
    for trial in study.trials:
        state = "best" if best is not None and trial.number == best.number else trial.state.name.lower()
        values = {d.key: d.value(trial.params[d.key]) for d in space if d.key in trial.params}
        last = trial.last_step and trial.intermediate_values[trial.last_step]
        rows.append(
            {
                "trial": trial.number,
                **values,
                metric or LOSS: last if trial.value is None else trial.value,
                "epochs": trial.last_step,
                "seconds": trial.user_attrs.get("seconds"),
                "state": trial.user_attrs.get("diverged", state),
            }
        )
    if best is None:
        raise UserError(f"{folder}: none of {len(rows)} trials came to an end; narrow the search")
    tuned = _tuned(folder, name)
    return {
        "study": str(folder),
        "metric": metric or LOSS,
        "best": {"trial": best.number, "value": best.value},
        "trials": rows,
        "recipe": str(tuned),
        "command": shlex.join(["peftrec", "train", str(tuned)]),
    }


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )
