"""What a training took and what its model weighs."""

import time
from typing import Any

import numpy as np

from peftrec.machine import processes
from peftrec.machine.memory import peak_memory_mb
from peftrec.model.co_learner import CoLearner
from peftrec.training.snapshot import Progress


def cache_lines(model: CoLearner) -> list[str]:
    """What of the frozen part is computed once, for which tasks, and why."""
    said: dict[tuple[str, str], list[str]] = {}
    for task in model.tasks:
        said.setdefault(model.encoder.level(task), []).append(task)
    return [f"{', '.join(tasks)}: cache level {level}: {why}" for (level, why), tasks in said.items()]


def costs(model: CoLearner, progress: Progress) -> dict[str, Any]:
    """The `cost` of `report.json`; seconds and steps are those of all sessions."""
    backbone = model.encoder.backbone
    trainable, total = model.parameter_counts()
    return {
        "processes": processes.count(),
        "train_seconds": progress.seconds,
        "examples_per_second": progress.examples / progress.seconds,
        "skipped_steps": progress.skipped,
        "peak_memory_mb": peak_memory_mb(),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "backbone_mb": backbone.footprint() / 1e6,
        "backbone_fp32_mb": backbone.parameter_count() * 4 / 1e6,
        "swap_milliseconds": swap_seconds(model) * 1e3,
    }


def swap_seconds(model: CoLearner, times: int = 100) -> float:
    """Median time to put a task's adapter into the backbone and take it out again; no weights move."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        with model.encoder.active(model.tasks[number % len(model.tasks)]):
            pass
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))
