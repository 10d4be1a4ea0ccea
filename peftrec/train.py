"""Training: everything is prepared and checked, then one visible loop minimises the weighted sum of the task losses."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from peftrec.backbone import load_backbone
from peftrec.checkpoint import new_run_folder, write_run
from peftrec.data.examples import Dataset, Examples
from peftrec.data.planner import RowStream
from peftrec.environment import environment, peak_memory_mb
from peftrec.evaluation import evaluate, text_rows
from peftrec.memory import plan_memory
from peftrec.model import CoLearner, build_model
from peftrec.optim import lr_factor, make_optimizer, set_learning_rates
from peftrec.progress import bar, note, track_rows
from peftrec.recipe import Recipe, UserError
from peftrec.runs import save_run
from peftrec.stopping import BestEpoch
from peftrec.tasks import load_data
from peftrec.weighting import Weighting, make_weighting


@dataclass
class Setup:
    """All that training needs, made and checked."""

    recipe: Recipe
    accelerator: Accelerator
    dataset: Dataset
    model: CoLearner


def prepare(recipe: Recipe) -> Setup:
    """Load data and backbone, attach adapters and heads. Raises UserError for what cannot work."""
    accelerator = Accelerator(mixed_precision=recipe.train.mixed_precision)
    make_weighting(recipe.weighting, recipe)
    BestEpoch(recipe)
    dataset = load_data(recipe)
    backbone = load_backbone(recipe.backbone, accelerator.device)
    torch.manual_seed(recipe.train.seed)
    return Setup(recipe, accelerator, dataset, build_model(recipe, backbone, dataset))


def train(recipe: Recipe, run: str | Path | None = None, name: str = "run", cache: bool = True) -> Path:
    """Train the recipe and write its run folder, returned. Raises UserError for mistakes in recipe or data.

    `cache`: whether the frozen part's states are looked for, and kept, on disk.
    """
    target = new_run_folder(name, None if run is None else Path(run))
    with write_run(target) as folder:
        started = time.monotonic()
        setup = prepare(recipe)
        model, dataset, tasks = setup.model, setup.dataset, recipe.tasks
        for line in [*dataset.notes, *cache_lines(model)]:
            note(line)
        model.encoder.disk = cache
        model.encoder.update(text_rows(dataset, tasks, ["train", "valid", "test"], ranking=True), track_rows)
        # The heads before training: shown beside the result, nothing is chosen by it.
        untrained = evaluate(model, dataset, tasks, "test", resamples=0, priors=False)
        loop_started = time.monotonic()
        history, seen = fit(setup)
        seconds = time.monotonic() - loop_started
        note("evaluating on the test split, with intervals and priors")
        report = evaluate(model, dataset, tasks, "test", ranking=True)
        for task, of in report["tasks"].items():
            of["untrained"] = untrained["tasks"][task]["metrics"]
        report["cost"] = costs(model, seen, seconds) | {"total_seconds": time.monotonic() - started}
        report["environment"] = environment()
        save_run(folder, recipe, dataset, model, report, history)
    return target


def cache_lines(model: CoLearner) -> list[str]:
    """For each task: what of the frozen part is computed once, and why."""
    return [f"{task}: cache level {level}: {why}" for task in model.tasks for level, why in [model.encoder.level(task)]]


def costs(model: CoLearner, examples: int, seconds: float) -> dict[str, Any]:
    """What training took and what the model weighs, for `report.json`."""
    backbone = model.encoder.backbone
    return {
        "train_seconds": seconds,
        "examples_per_second": examples / seconds,
        "peak_memory_mb": peak_memory_mb(),
        "trainable_parameters": sum(p.numel() for p in model.trainable().values()),
        "total_parameters": backbone.parameter_count() + sum(p.numel() for p in model.trainable().values()),
        "backbone_mb": backbone.footprint() / 1e6,
        "backbone_fp32_mb": backbone.parameter_count() * 4 / 1e6,
        "swap_milliseconds": swap_seconds(model) * 1e3,
    }


def swap_seconds(model: CoLearner, times: int = 100) -> float:
    """Median time to switch the encoder from one task's adapter to another's; no weights move."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        model.encoder.activate(model.tasks[number % len(model.tasks)])
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def fit(setup: Setup) -> tuple[list[dict[str, Any]], int]:
    """The loop. Trains `setup.model` in place; returns the lines of metrics.jsonl and the examples trained on.

    An epoch is ceil(rows of all tasks / batch_size) steps; in it every task gives `share` times its training rows (1:
    each row once), spread evenly over the steps. With early stopping the best epoch's weights are put back at the end.
    """
    config, accelerator, model = setup.recipe.train, setup.accelerator, setup.model
    tasks = {name: setup.dataset.tasks[name].train for name in setup.recipe.tasks}
    streams, steps_per_epoch = make_streams(setup.recipe, tasks)
    total = min(config.epochs * steps_per_epoch, config.max_steps or config.epochs * steps_per_epoch)
    trainable = model.trainable()
    optimizer = accelerator.prepare(make_optimizer(config, trainable))
    weigh = make_weighting(setup.recipe.weighting, setup.recipe)
    stopper = BestEpoch(setup.recipe)
    first = {name: rows.take(streams[name].step(0)) for name, rows in tasks.items()}
    note(plan_memory(model, first, config))
    history: list[dict[str, Any]] = []
    seen = 0
    with bar(sum(s.rows_until(total) for s in streams.values()), "training", "examples") as shown:
        for step in range(total):
            if step % steps_per_epoch == 0:
                running, weighed = np.zeros(len(tasks)), 0
            model.train()
            # Dropout is a function of (seed, step) alone, so a resumed run repeats it.
            torch.manual_seed(config.seed * 1_000_003 + step)
            rows = {name: stream.step(step) for name, stream in streams.items()}
            set_learning_rates(optimizer, lr_factor(config, step, total))
            losses = joint_backward(model, tasks, rows, weigh, accelerator, config.accumulate)
            if not torch.isfinite(losses).all():
                bad = [name for name, loss in zip(tasks, losses.tolist(), strict=True) if not math.isfinite(loss)]
                raise UserError(
                    f"step {step + 1}: the loss of task {', '.join(bad)} is not a finite number; lower train.lr"
                )
            if config.clip is not None:
                accelerator.clip_grad_norm_(list(trainable.values()), config.clip)
            optimizer.step()
            model.encoder.after_step(step, total)
            optimizer.zero_grad()
            count = sum(len(r) for r in rows.values())
            seen, running, weighed = seen + count, running + losses.numpy(), weighed + 1
            shown.update(count)
            shown.set_postfix_str(" ".join(f"{n} {v:.4f}" for n, v in zip(tasks, running / weighed, strict=True)))
            if (step + 1) % steps_per_epoch == 0 or step + 1 == total:
                line: dict[str, Any] = {"step": step + 1, "epoch": (step + 1) / steps_per_epoch, "examples": seen}
                line["train_loss"] = dict(zip(tasks, (running / weighed).tolist(), strict=True))
                line["valid"] = validate(setup)
                history.append(line)
                if stopper.stop_after(line["valid"], trainable):
                    note(f"stopped after epoch {line['epoch']:.3g}: no better for {stopper.patience} epochs")
                    break
    stopper.restore(trainable)
    note(model.work.line())
    return history, seen


def validate(setup: Setup) -> dict[str, dict[str, float]]:
    """Each task's metrics on its validation rows; nothing for a task without any."""
    tasks = {n: t for n, t in setup.recipe.tasks.items() if len(setup.dataset.tasks[n].valid)}
    report = evaluate(setup.model, setup.dataset, tasks, "valid", resamples=0, priors=False)
    return {name: of["metrics"] for name, of in report["tasks"].items()}


def make_streams(recipe: Recipe, tasks: dict[str, Examples]) -> tuple[dict[str, RowStream], int]:
    """Each task's order of rows, and the steps of an epoch."""
    config = recipe.train
    per_epoch = {name: max(1, round(len(rows) * (recipe.tasks[name].share or 1.0))) for name, rows in tasks.items()}
    steps = -(-sum(per_epoch.values()) // config.batch_size)
    streams = {
        name: RowStream(
            len(rows), per_epoch[name], steps, config.seed, number, rows.group if config.locality == "user" else None
        )
        for number, (name, rows) in enumerate(tasks.items())
    }
    return streams, steps


def joint_backward(
    model: CoLearner,
    tasks: dict[str, Examples],
    rows: dict[str, np.ndarray],
    weigh: Weighting,
    accelerator: Accelerator,
    parts: int = 1,
) -> Tensor:
    """Accumulate the gradient of sum_t weight_t * loss_t over the step's rows; returns the task losses (T,).

    Rows are cut into `parts` and over processes; each piece counts by its share of the task's rows, so the gradient is
    that of the whole batch. A task without rows in this step has loss 0 and no gradient.
    """
    names = list(rows)
    losses = torch.zeros(len(names))
    pieces = parts * accelerator.num_processes
    for part in range(parts):
        piece = part * accelerator.num_processes + accelerator.process_index
        own = {name: np.array_split(r, pieces)[piece] for name, r in rows.items()}
        batches = {name: tasks[name].take(r) for name, r in own.items() if len(r)}
        if not batches:
            continue
        share = torch.tensor([len(own[n]) / len(rows[n]) for n in batches])
        with accelerator.autocast():
            values = model.losses(batches)
        index = torch.tensor([names.index(n) for n in batches])
        full = torch.zeros(len(names)).index_copy(0, index, values.detach().cpu().float())
        weights = weigh(full)[index]
        accelerator.backward((weights.to(values) * share.to(values) * values).sum())
        losses[index] += values.detach().cpu().float() * share
    if accelerator.num_processes > 1:
        losses = accelerator.reduce(losses.to(accelerator.device), "sum").cpu()
        for parameter in model.trainable().values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = accelerator.reduce(parameter.grad, "sum")
    return losses
