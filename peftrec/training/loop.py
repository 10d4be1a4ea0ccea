"""Training: one visible loop minimises the weighted sum of the task losses, once everything is prepared and checked."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from peftrec.data.examples import Dataset, Examples
from peftrec.errors import Diverged
from peftrec.evaluation.evaluate import Report, evaluate, text_rows
from peftrec.evaluation.predictions import Outcome, write_outcomes
from peftrec.machine import processes
from peftrec.machine.environment import environment
from peftrec.machine.memory import return_free_memory
from peftrec.machine.progress import bar, note, track_rows
from peftrec.machine.signals import Interrupted, StopSignals
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import Recipe
from peftrec.runs.cards import write_cards
from peftrec.runs.folder import interrupted_run, new_run_folder, write_run
from peftrec.runs.saved import save_run
from peftrec.training.costs import costs
from peftrec.training.fingerprint import describe_origin
from peftrec.training.memory import plan_together
from peftrec.training.optim import lr_factor, make_optimizer, set_learning_rates
from peftrec.training.order import RowStream
from peftrec.training.prepare import Setup, prepare
from peftrec.training.resume import Checkpoints
from peftrec.training.sharding import shard, whole
from peftrec.training.snapshot import Progress, TrainingState
from peftrec.training.step import Rows, clip_gradient, find_culprits, gradient_norms, joint_backward, seed_step
from peftrec.training.stopping import BestEpoch, Scores
from peftrec.training.trackers import Trackers
from peftrec.training.watch import Watch
from peftrec.training.weighting import make_weighting

# Steps of many sizes leave holes in the heap: those of LoRA on two layers took 40 % more after 30 steps than after one.
TIDY_SECONDS = 10


def train(
    recipe: Recipe,
    run: str | Path | None = None,
    name: str = "run",
    cache: bool = True,
    resume: bool = False,
    allow_changes: bool = False,
) -> Path:
    """Train the recipe and write its run folder, returned. Raises UserError for mistakes in recipe or data.

    cache          whether the frozen part's states are looked for, and kept, on disk
    resume         continue the interrupted training of `run` (default: the last one called `name`) from its newest
                   intact checkpoint: the weights become what they would have been without the interruption
    allow_changes  continue although recipe, data, weights or packages changed
    """
    processes.start()
    choose = interrupted_run if resume else new_run_folder
    target = Path(processes.on_first(lambda: str(choose(name, None if run is None else Path(run)))))
    with ExitStack() as stack:
        folder = processes.on_first(lambda: str(stack.enter_context(write_run(target, resume))))
        trackers = stack.enter_context(Trackers(recipe, target))
        started = time.monotonic()
        setup = processes.on_each(lambda: prepare(recipe))
        model, dataset, tasks = setup.model, setup.dataset, setup.tasks
        origin = describe_origin(recipe, dataset, model, processes.count())
        settings = (recipe.train.checkpoint, origin, resume, allow_changes)
        checkpoints = processes.on_each(lambda: Checkpoints(target, *settings))
        for line in [*processes.notes(), *setup.notes, *cache_lines(model)]:
            note(line)
        model.encoder.disk = cache
        needed = text_rows(dataset, tasks, ["train", "valid", "test"], ranking=True)
        model.encoder.update(needed, track_rows, together=True)
        # The model before training: shown beside the result, nothing is chosen by it.
        untrained = processes.on_first(lambda: evaluate(model, dataset, tasks, "test", resamples=0, priors=False))
        progress = fit(setup, checkpoints, trackers)
        with whole(model):
            processes.on_first(lambda: _finish(Path(folder), setup, progress, trackers, untrained, started))
        processes.on_first(stack.close)
    return target


def _finish(
    folder: Path, setup: Setup, progress: Progress, trackers: Trackers, untrained: Report, started: float
) -> None:
    """Evaluate on the test split, and write the run's files."""
    note("evaluating on the test split, with intervals and priors")
    recipe, dataset, model, outcomes = setup.recipe, setup.dataset, setup.model, dict[str, Outcome]()
    report = evaluate(model, dataset, setup.tasks, "test", ranking=True, outcomes=outcomes)
    for task, of in report["tasks"].items():
        of["untrained"] = untrained["tasks"][task]["metrics"]
    trackers.log({"step": progress.step, "test": {task: of["metrics"] for task, of in report["tasks"].items()}})
    report["cost"] = costs(model, progress) | {"total_seconds": time.monotonic() - started}
    report["environment"] = environment()
    save_run(folder, recipe, dataset, model, report, progress.history)
    write_cards(folder, recipe, setup.tasks, dataset, model, report)
    write_outcomes(folder, outcomes)


def cache_lines(model: CoLearner) -> list[str]:
    """What of the frozen part is computed once, for which tasks, and why."""
    said: dict[tuple[str, str], list[str]] = {}
    for task in model.tasks:
        said.setdefault(model.encoder.level(task), []).append(task)
    return [f"{', '.join(tasks)}: cache level {level}: {why}" for (level, why), tasks in said.items()]


def fit(setup: Setup, checkpoints: Checkpoints | None = None, trackers: Trackers | None = None) -> Progress:
    """The loop. Trains `setup.model` in place, from the checkpoint that `checkpoints` goes on from if any.

    First the frozen part's states of the training and validation rows are computed, unless they are there.
    An epoch is ceil(rows of all tasks / batch_size) steps; in it every task gives `share` times its training rows (1:
    each row once), spread evenly over the steps. With early stopping the best epoch's weights are put back at the end;
    those that `init_from` gave count as an epoch. Frozen tasks take no part.
    Raises Interrupted, with a checkpoint written if any are, after the step during which SIGTERM or Ctrl-C came.
    """
    config, accelerator, model = setup.recipe.train, setup.accelerator, setup.model
    tasks = {name: setup.dataset.tasks[name].train for name in setup.recipe.trained}
    needed = text_rows(setup.dataset, setup.trained, ["train", "valid"], ranking=False)
    model.encoder.update(needed, track_rows, together=True)
    streams, steps_per_epoch, total = make_streams(setup.recipe, setup.dataset)
    weigh = make_weighting(setup.recipe.weighting, setup.recipe)
    stopper = BestEpoch(setup.recipe, setup.tasks)
    first = {name: rows.drawn(config.seed, 0).take(streams[name].step(0)) for name, rows in tasks.items()}
    note(plan_together(model, first, config))
    shard(model)
    trainable = model.trainable()
    optimizer = accelerator.prepare(make_optimizer(config, trainable))
    at = Progress()
    state = TrainingState(model, optimizer, weigh, stopper, at, accelerator.scaler)
    if checkpoints:
        processes.on_each(partial(checkpoints.restore, state))
    if setup.recipe.init_from and stopper.patience and at.step == 0 and model.encoder.settled:
        stopper.see(validate(setup), trainable)
    if trackers:
        processes.on_first(partial(trackers.start, at))
    watch = Watch(model, config, at, total, steps_per_epoch)
    began, tidied = time.monotonic() - at.seconds, time.monotonic()
    rows_in_all = sum(s.rows_until(total) for s in streams.values())
    with StopSignals() as signals, bar(rows_in_all, "training", "examples", at.examples) as shown:
        while at.step < total and not stopper.exhausted:
            watch.begin()
            model.train()
            seed_step(config.seed, at.step)
            rows = {name: stream.step(at.step) for name, stream in streams.items()}
            set_learning_rates(optimizer, lr_factor(config, at.step, total))
            tasks = {name: of.drawn(config.seed, at.step) for name, of in tasks.items()}
            losses, weights = joint_backward(model, tasks, rows, weigh, accelerator)
            norms = gradient_norms(model, accelerator)
            if take_step(setup, optimizer, trainable, tasks, rows, losses, at.step):
                watch.saw(rows, losses, weights, norms)
            else:
                optimizer.zero_grad()  # what follows must not see such gradients
                at.skipped += 1
            model.encoder.after_step(at.step, total)
            optimizer.zero_grad()
            at.step += 1
            count = sum(len(r) for r in rows.values())
            at.examples += count
            shown.update(count)
            shown.set_postfix_str(watch.end(count))
            if watch.due:
                line = watch.line()
                if watch.epoch_ends:
                    line["valid"] = validate(setup)
                    if model.encoder.settled:
                        stopper.see(line["valid"], trainable)
                if trackers:
                    trackers.log(line)
            at.seconds = time.monotonic() - began
            if time.monotonic() > tidied + TIDY_SECONDS:
                return_free_memory()
                tidied = time.monotonic()
            interrupted = signals.agree()
            now = at.step == total or stopper.exhausted or interrupted > 0
            if checkpoints:
                checkpoints.keep_up(state, now)
            if interrupted:
                break
        signals.agree()  # what came while the last step's checkpoint was written
    if signals.received is not None:
        raise Interrupted(signals.received, at.step)
    if stopper.exhausted:
        note(f"stopped after step {at.step}: no better for {stopper.patience} epochs")
    stopper.restore(trainable)
    note(model.work.line())
    return at


def take_step(
    setup: Setup,
    optimizer: AcceleratedOptimizer,
    trainable: dict[str, nn.Parameter],
    tasks: dict[str, Examples],
    rows: Rows,
    losses: Tensor,
    step: int,
) -> bool:
    """Clip the gradient and step on it; false where the step, counted from 0, is left out.

    Raises Diverged where a loss or gradient is not finite, unless the recipe says to leave such steps out.
    """
    config, accelerator = setup.recipe.train, setup.accelerator
    if bool(torch.isfinite(losses).all()) and clip_gradient(list(trainable.values()), config.clip, accelerator):
        optimizer.step()
        return not optimizer.step_was_skipped
    found = f"step {step + 1}: {find_culprits(setup.model, tasks, rows)} is not a finite number"
    if config.non_finite == "stop":
        with processes.alike():
            raise Diverged(f"{found}; lower train.lr, or leave such steps out with train.non_finite: skip")
    note(f"{found}: the step is left out")
    return False


def validate(setup: Setup) -> Scores:
    """Each trained task's metrics on its validation rows, also given to `setup.judge`; nothing for one without rows."""
    tasks = {n: t for n, t in setup.trained.items() if len(setup.dataset.tasks[n].valid)}

    def measured() -> Scores:
        report = evaluate(setup.model, setup.dataset, tasks, "valid", resamples=0, priors=False)
        scores = {name: of["metrics"] for name, of in report["tasks"].items()}
        if setup.judge is not None:
            setup.judge(scores)
        return scores

    with whole(setup.model):
        return processes.on_first(measured)


def make_streams(recipe: Recipe, dataset: Dataset) -> tuple[dict[str, RowStream], int, int]:
    """Each trained task's order of rows, the steps of an epoch, and of the whole training."""
    config = recipe.train
    tasks = {name: dataset.tasks[name].train for name in recipe.trained}
    per_epoch = {name: max(1, round(len(rows) * (recipe.tasks[name].share or 1.0))) for name, rows in tasks.items()}
    steps = -(-sum(per_epoch.values()) // config.batch_size)
    streams = {
        name: RowStream(
            len(rows), per_epoch[name], steps, config.seed, number, rows.group if config.locality == "user" else None
        )
        for number, (name, rows) in enumerate(tasks.items())
    }
    return streams, steps, min(config.epochs * steps, config.max_steps or config.epochs * steps)
