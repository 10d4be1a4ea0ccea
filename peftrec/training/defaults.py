"""What a recipe's `train` leaves open, chosen from rows, classes and methods. docs/results/defaults.md has the figures.

batch_size   the power of two next to twice the square root of the rows of an epoch, from 16 to 2,048
epochs       as many as make 1,000 steps, from 4 to 40; where nothing is watched at most 8
lr           by method, where tasks have several the smallest, times the square root of batch_size / 1,024 (for Adam;
             Malladi et al. 2022, arXiv:2205.10287): few rows, small batches, small rates
head_lr      2e-3, likewise
schedule     cooldown where validation is watched, else linear
patience     as many epochs as make 100 steps a task, at least 3: with 100 of all, a task that takes long to begin, as
             prices of few articles do, had less patience beside another than alone, and lost what it gains later
refit        where validation is watched and an epoch has at most 20,000 rows: the tenth or so that was held out is as
             good as any other, and what it costs is once more the time
dropout      .1
weight_decay .01
"""

import math
from collections.abc import Sequence
from typing import Any

from peftrec.data.dataset import Dataset
from peftrec.recipe import EarlyStopping, Recipe, Schedule, TrainConfig

LEAST_BATCH, MOST_BATCH = 16, 2048
STEPS, LEAST_EPOCHS, MOST_EPOCHS, UNWATCHED_EPOCHS = 1000, 4, 40, 8
PATIENT_STEPS, LEAST_PATIENCE = 100, 3
RATED_BATCH = 1024  # the batch that these rates are for
REFIT_ROWS = 20_000
WEIGHT_DECAY, DROPOUT = 0.01, 0.1
# Of others, PEFT's further methods and one's own, as of lora.
HEAD_RATE = 2e-3
RATES = {"lora": 2e-3, "side": 1e-3, "full": 1e-4, "ia3": 1e-2, "prefix": 1e-2}


class Watching(EarlyStopping):
    """Early stopping with nothing left open."""

    patience: int


class Settled(TrainConfig):
    """A recipe's `train` with nothing left open."""

    epochs: int
    batch_size: int
    lr: float
    head_lr: float
    schedule: Schedule
    weight_decay: float
    dropout: float
    early_stopping: Watching | None
    refit: bool


def settled(recipe: Recipe, dataset: Dataset) -> Settled:
    """The recipe's `train` with what it leaves open chosen for these data."""
    rows = sum(rows_an_epoch(recipe, dataset).values())
    methods = [recipe.adapters[name].method for name in recipe.trained]
    watched = any(len(dataset.tasks[name].valid) for name, task in recipe.trained.items() if task.weight > 0)
    return settle(recipe.train, rows, methods, watched)


def settle(config: TrainConfig, rows: int, methods: Sequence[str], watched: bool) -> Settled:
    """The configuration with what it leaves open chosen.

    rows     of an epoch, of all trained tasks
    methods  of these tasks, one each
    watched  whether any of them has validation rows; without, early stopping that nothing was said of is off
    """
    stopping = None if config.early_stopping == EarlyStopping() and not watched else config.early_stopping
    batch = config.batch_size or max(config.accumulate, _batch(rows))
    an_epoch = -(-rows // batch)
    scale = math.sqrt(batch / RATED_BATCH)
    most = MOST_EPOCHS if stopping else UNWATCHED_EPOCHS
    chosen: dict[str, Any] = {
        "batch_size": batch,
        "epochs": min(max(math.ceil(STEPS / an_epoch), LEAST_EPOCHS), most),
        "lr": scale * min(RATES.get(method.lower(), RATES["lora"]) for method in methods),
        "head_lr": scale * HEAD_RATE,
        "schedule": "cooldown" if stopping else "linear",
        "weight_decay": WEIGHT_DECAY,
        "dropout": DROPOUT,
        "refit": stopping is not None and watched and rows <= REFIT_ROWS,
    }
    given = config.model_dump()
    complete = given | {key: value for key, value in chosen.items() if given[key] is None}
    patience = max(LEAST_PATIENCE, math.ceil(len(methods) * PATIENT_STEPS / an_epoch))
    watching = stopping and {"patience": stopping.patience or patience, "metric": stopping.metric}
    return Settled.model_validate(complete | {"early_stopping": watching})


def chosen_notes(given: TrainConfig, config: Settled) -> list[str]:
    """What `given` left open and what was chosen, as a line for the user; none where it left nothing open."""
    before, after = given.model_dump(), config.model_dump()
    chosen = {key: value for key, value in after.items() if before[key] is None and value is not None}
    if config.early_stopping and given.early_stopping and given.early_stopping.patience is None:
        chosen["early_stopping.patience"] = config.early_stopping.patience
    said = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in chosen.items()]
    return [f"train: chosen {', '.join(said)}"] if said else []


def rows_an_epoch(recipe: Recipe, dataset: Dataset) -> dict[str, int]:
    """How many rows each trained task gives in an epoch: `share` times its training rows. Tasks that name none give
    together as many as they have, each in proportion to rows ** `sampling.temperature`."""
    rows = {name: len(dataset.tasks[name].train) for name in recipe.trained}
    free = {name: rows[name] ** recipe.sampling.temperature for name, task in recipe.trained.items() if not task.share}
    each = sum(rows[name] for name in free) / (sum(free.values()) or 1)
    return {
        name: max(1, round(free[name] * each if name in free else rows[name] * (task.share or 1)))
        for name, task in recipe.trained.items()
    }


def _batch(rows: int) -> int:
    power = round(math.log2(2 * math.sqrt(rows)))
    return int(min(max(2**power, LEAST_BATCH), MOST_BATCH))
