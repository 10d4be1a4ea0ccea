"""Training: one visible loop minimises the weighted sum of the task losses, once everything is prepared and checked."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from peftrec.data.load import Ahead
from peftrec.errors import Diverged
from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.evaluation.values import Report
from peftrec.machine import processes
from peftrec.machine.progress import bar, note, track_rows
from peftrec.machine.signals import Interrupted, StopSignals
from peftrec.recipe import Recipe, TrainConfig
from peftrec.runs.folder import choose_run, write_run
from peftrec.training.costs import cache_lines
from peftrec.training.ending import end, ended
from peftrec.training.fingerprint import describe_origin
from peftrec.training.finish import finish
from peftrec.training.memory import Tidy
from peftrec.training.prepare import Setup, prepare
from peftrec.training.refit import begin_refit, prepare_refit, refit_of
from peftrec.training.resume import Checkpoints
from peftrec.training.sharding import whole
from peftrec.training.shrinking import outer_weights
from peftrec.training.snapshot import Progress, TrainingState
from peftrec.training.starts import begin
from peftrec.training.step import Steps, one_step, plan_steps
from peftrec.training.stopping import BestEpoch, Scores
from peftrec.training.trackers import Trackers
from peftrec.training.validation import validate
from peftrec.training.watch import Watch


def train(
    recipe: Recipe,
    run: str | Path | None = None,
    name: str = "run",
    cache: bool = True,
    resume: bool = False,
    allow_changes: bool = False,
    ahead: Ahead | None = None,
) -> Path:
    """Train the recipe and write its run folder, returned. Raises UserError for mistakes in recipe or data.

    cache          whether the frozen part's states are looked for, and kept, on disk
    resume         continue the interrupted training of `run` (default: the last one called `name`) from its newest
                   intact checkpoint: the weights become what they would have been without the interruption
    allow_changes  continue although recipe, data, weights or packages changed
    ahead          has the recipe's tables where they were read already
    """
    processes.start()
    target = Path(processes.on_first(lambda: str(choose_run(name, resume))) if run is None else run)
    with ExitStack() as stack:
        folder = processes.on_first(lambda: str(stack.enter_context(write_run(target, resume))))
        trackers = stack.enter_context(Trackers(recipe, target))
        started = time.monotonic()
        setup = processes.on_each(lambda: prepare(recipe, ahead=ahead))
        origin = describe_origin(setup.complete, setup.dataset, setup.model, processes.count())
        settings = (recipe.train.checkpoint, origin, resume, allow_changes)
        checkpoints = processes.on_each(lambda: Checkpoints(target, *settings))
        for line in [*processes.notes(), *setup.notes, *cache_lines(setup.model)]:
            note(line)
        chosen, progress = setup.config, checkpoints.refitting
        if progress is None:
            start = _ready(setup, cache)
            progress = fit(setup, checkpoints, trackers)
        if chosen.refit:
            refit = progress.refit or refit_of(setup, progress)
            setup = processes.on_each(partial(prepare_refit, setup, refit))
            start = _ready(setup, cache)
            progress = fit(setup, checkpoints, trackers, begin_refit(progress, refit))
        with whole(setup.model):
            processes.on_first(lambda: finish(Path(folder), setup, chosen, progress, trackers, start, started))
        processes.on_first(stack.close)
    return target


def _ready(setup: Setup, cache: bool) -> Report:
    """Compute what is frozen, and fit the starts; returns what the model is before training, shown beside the result:
    nothing is chosen by it."""
    setup.model.encoder.disk = cache
    needed = text_rows(setup.dataset, setup.tasks, ["train", "valid", "test"], ranking=True)
    setup.model.encoder.update(needed, track_rows, together=True)
    begin(setup)
    measured = (setup.model.eval(), setup.dataset, setup.tasks, "test")
    return processes.on_first(lambda: evaluate(*measured, resamples=0, priors=False))


def fit(
    setup: Setup, checkpoints: Checkpoints | None = None, trackers: Trackers | None = None, at: Progress | None = None
) -> Progress:
    """The loop. Trains `setup.model` in place, from the checkpoint that `checkpoints` goes on from if any.

    An epoch is ceil(rows of all tasks / batch_size) steps; in it every task gives `share` times its training rows,
    spread evenly. With early stopping the best epoch's weights are put back at the end, and those before the first step
    count as an epoch; see `ended` for the cool-down, `take_own` for each task's own best epoch, and `shrink` for what
    of it each task then keeps. `at`: what the first training of `train.refit` came to.
    Raises Interrupted, with a checkpoint written if any are, after the step during which SIGTERM or Ctrl-C came.
    """
    model, at = setup.model, at or Progress()
    begin(setup)
    steps, stopper = plan_steps(setup), BestEpoch(setup.config, setup.tasks)
    note(steps.plan)
    first = outer_weights(setup)
    state = TrainingState(model, steps.optimizer, steps.weighting, stopper, at, setup.accelerator.scaler)
    if checkpoints:
        processes.on_each(partial(checkpoints.restore, state))
    if stopper.patience and at.step == 0 and model.encoder.settled:
        stopper.see(0, validate(setup), steps.trainable)
    if trackers:
        processes.on_first(partial(trackers.start, at))
    watch, tidy, began = Watch(steps, at), Tidy(), time.monotonic() - at.seconds
    over = ended(steps, stopper, at)
    with StopSignals() as signals, bar(steps.rows, "training", "examples", at.examples) as shown:
        while not over:
            watch.begin()
            step = one_step(steps, at.own, at.cooldown)
            at.step += 1
            at.examples += step.count
            at.skipped += not step.made
            if step.problem:
                leave_out(f"step {at.step}: {step.problem} is not a finite number", setup.config)
            shown.update(step.count)
            shown.set_postfix_str(watch.end(step))
            if watch.due:
                line = watch.line()
                if watch.epoch_ends:
                    line["valid"] = _judged(steps, stopper, at)
                if trackers:
                    trackers.log(line)
            at.seconds = time.monotonic() - began
            tidy.when_due()
            over = ended(steps, stopper, at) or signals.agree() > 0
            if checkpoints:
                checkpoints.keep_up(state, now=over)
        signals.agree()  # what came while the last step's checkpoint was written
    if signals.received is not None:
        raise Interrupted(signals.received, at.step)
    end(steps, stopper, at, first)
    return at


def _judged(steps: Steps, stopper: BestEpoch, at: Progress) -> Scores:
    """The validation scores at an epoch's end, which the stopper has seen where the methods' weights may be chosen."""
    scores = validate(steps.setup, steps.setup.judge)
    if steps.setup.model.encoder.settled:
        last = at.cooldown is not None and at.step == at.cooldown.end
        stopper.see(at.step, scores, steps.trainable, no_worse=last)
    return scores


def leave_out(found: str, config: TrainConfig) -> None:
    """Say which step is left out; raise Diverged unless the recipe says to leave such steps out."""
    if config.non_finite == "stop":
        with processes.alike():
            raise Diverged(f"{found}; lower train.lr, or leave such steps out with train.non_finite: skip")
    note(f"{found}: the step is left out")
