"""What training will take on this machine, from a few of its steps taken here and now."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from peftrec.data.dataset import TaskData
from peftrec.evaluation.evaluate import evaluate
from peftrec.machine.memory import free_memory_mb, peak_memory_mb
from peftrec.training.prepare import Setup
from peftrec.training.step import Steps, one_step, plan_steps

# Measured for so long, or in so many steps. The first step also warms up and makes the optimiser's state: it counts
# only when it took so long that no second one is made.
SECONDS, STEPS = 6.0, 12
LONG_STEP = 15.0
# On a CPU the C library's heap goes on growing over the steps that follow (benchmarks' `estimates`: 4 to 20 % of what
# a few steps took), as what is freed leaves gaps.
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
    steps = plan_steps(setup)
    step = _step_seconds(steps)
    validation = _validation_seconds(setup)
    # A second training has the validation rows as well, and nothing to validate.
    rows = sum(len(setup.dataset.tasks[name].train) for name in setup.trained)
    valid = sum(len(setup.dataset.tasks[name].valid) for name in setup.trained)
    again = steps.total * (1 + valid / rows) if setup.config.refit else 0
    return {
        "memory_plan": steps.plan,
        "seconds_per_step": step,
        "seconds_to_validate": validation,
        "seconds_per_epoch": steps.per_epoch * step + validation,
        "seconds_at_most": (again + steps.total) * step + -(-steps.total // steps.per_epoch) * validation,
        "peak_memory_mb": peak_memory_mb() * (1 if torch.cuda.is_available() else HEAP_GROWTH),
        "free_memory_mb": free,
    }


def _step_seconds(steps: Steps) -> float:
    """The median seconds of the first steps. One that is not finite is left out, which takes as long."""
    taken: list[float] = []
    while len(taken) <= min(STEPS, steps.total) and (
        sum(taken) < SECONDS or (len(taken) == 1 and taken[0] < LONG_STEP)
    ):
        started = time.perf_counter()
        one_step(steps, len(taken))
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:] or taken))


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
    evaluate(setup.model, dataset, {name: setup.tasks[name]}, "valid", resamples=0, priors=False)
    return time.perf_counter() - started
