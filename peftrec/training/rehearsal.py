"""What training will take on this machine, from a few of its steps taken here and now."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from peftrec.data.examples import TaskData
from peftrec.evaluation.evaluate import evaluate
from peftrec.machine.memory import free_memory_mb, peak_memory_mb
from peftrec.training.loop import make_streams
from peftrec.training.memory import plan_memory
from peftrec.training.optim import lr_factor, make_optimizer, set_learning_rates
from peftrec.training.order import RowStream
from peftrec.training.prepare import Setup
from peftrec.training.step import clip_gradient, joint_backward, seed_step
from peftrec.training.weighting import make_weighting

# Measured for so long, or in so many steps. The first step also warms up and makes the optimiser's state: it counts
# only when it took so long that no second one is made.
SECONDS, STEPS = 6.0, 12
LONG_STEP = 15.0
# On a CPU the C library's heap goes on growing over the steps that follow (benchmarks/estimates.py: 4 to 20 % of what a
# few steps took), as what is freed leaves gaps.
HEAP_GROWTH = 1.1
VALID_ROWS = 2048  # of a task, predicted first; all of them when that will not take longer either


def rehearse(setup: Setup, needed: dict[str, np.ndarray]) -> dict[str, Any]:
    """Seconds a step, validation and epoch, and this process's peak memory, as plain values.

    `needed` are the text rows each task will encode. What is missing of the frozen part's states is made up, which
    takes the same room and time in a step. The model is trained a little by this: use it for nothing else. Memory is
    counted as in `report.json`, for the process as a whole, so what it did before counts too; on a CPU a tenth is
    added.
    """
    encoder = setup.model.encoder
    for level, cache in encoder.caches.items():
        cache.rehearse(encoder.rows_of(level, needed))
    free = free_memory_mb()
    streams, steps, total = make_streams(setup.recipe, setup.dataset)
    plan, step = _step_seconds(setup, streams, total)
    validation = _validation_seconds(setup)
    return {
        "memory_plan": plan,
        "seconds_per_step": step,
        "seconds_to_validate": validation,
        "seconds_per_epoch": steps * step + validation,
        "seconds_at_most": total * step + -(-total // steps) * validation,
        "peak_memory_mb": peak_memory_mb() * (1 if torch.cuda.is_available() else HEAP_GROWTH),
        "free_memory_mb": free,
    }


def _step_seconds(setup: Setup, streams: dict[str, RowStream], total: int) -> tuple[str, float]:
    """The memory plan, and the median seconds of the first steps of `total`."""
    model, config, accelerator = setup.model, setup.recipe.train, setup.accelerator
    tasks = {name: setup.dataset.tasks[name].train for name in setup.recipe.trained}
    trainable = model.trainable()
    optimizer = accelerator.prepare(make_optimizer(config, trainable))
    weigh = make_weighting(setup.recipe.weighting, setup.recipe)
    first = {name: rows.drawn(config.seed, 0).take(streams[name].step(0)) for name, rows in tasks.items()}
    plan = plan_memory(model, first, config)
    model.train()
    taken: list[float] = []
    while len(taken) <= min(STEPS, total) and (sum(taken) < SECONDS or (len(taken) == 1 and taken[0] < LONG_STEP)):
        step, started = len(taken), time.perf_counter()
        seed_step(config.seed, step)
        rows = {name: stream.step(step) for name, stream in streams.items()}
        set_learning_rates(optimizer, lr_factor(config, step, total))
        tasks = {name: of.drawn(config.seed, step) for name, of in tasks.items()}
        losses, _ = joint_backward(model, tasks, rows, weigh, accelerator)
        # A step that is not finite is left out in training too, which takes as long or stops.
        if torch.isfinite(losses).all() and clip_gradient(list(trainable.values()), config.clip, accelerator):
            optimizer.step()
        model.encoder.after_step(step, total)
        optimizer.zero_grad()
        taken.append(time.perf_counter() - started)
    return plan, float(np.median(taken[1:] or taken))


def _validation_seconds(setup: Setup) -> float:
    """How long an epoch's validation takes: measured, or estimated from the first rows of each task."""
    seconds = 0.0
    for name in setup.recipe.trained:
        data = setup.dataset.tasks[name]
        first = data.valid.take(np.arange(min(VALID_ROWS, len(data.valid))))
        if len(first):
            once = _validate(setup, name, replace(data, valid=first))
            # An adapted encoder pays for texts, a head for rows.
            pooled = setup.model.encoder.level(name)[0] == "pooled"
            times = len(data.valid) / len(first)
            if not pooled:
                times = len(data.valid.text_rows()) / max(1, len(first.text_rows()))
            whole = times > 1 and once * times < SECONDS
            seconds += _validate(setup, name, data) if whole else once * times
    return seconds


def _validate(setup: Setup, name: str, data: TaskData) -> float:
    started = time.perf_counter()
    dataset = replace(setup.dataset, tasks={**setup.dataset.tasks, name: data})
    evaluate(setup.model, dataset, {name: setup.recipe.tasks[name]}, "valid", resamples=0, priors=False)
    return time.perf_counter() - started
