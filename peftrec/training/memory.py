"""Memory of a training step: planned from what is kept for the backward pass, and made to fit where it runs out."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peftrec.data.batches import UniqueRows
from peftrec.data.examples import Examples
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.draws import seed_all
from peftrec.machine.memory import free_memory_mb, return_free_memory
from peftrec.machine.progress import note
from peftrec.model.adapters.base import LayerAdapter
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import TrainConfig
from peftrec.training.order import Rows

SAMPLE_ROWS = 16  # texts that are encoded to measure what one token keeps
SAMPLE_SHARES = (1 / 16, 1 / 8)  # of a step's rows, on which it is measured what the rest keeps
# Steps of many sizes leave holes in the heap: those of LoRA on two layers took 40 % more after 30 steps than after one.
TIDY_SECONDS = 10


def plan_memory(model: CoLearner, batches: dict[str, Examples], config: TrainConfig) -> str:
    """Decide whether a step's activations are kept, recomputed, or made part by part; returns a line for the user.

    What is kept is measured on a few of the longest texts, and on a few rows, of `batches`, which stand for every step.
    What the encoder would keep beyond the budget is recomputed: each bucket keeps its output only and is computed again
    in the backward pass, in buckets that fit the budget. What heads and pooled methods would keep beyond it grows with
    the rows, so the step is made in parts one after the other. The gradient is the same; the memory no longer grows
    with the batch.
    """
    # Processes on one machine share its memory. Recomputing and parts each have a budget of half of what is free.
    budget = config.memory_mb or free_memory_mb() / 2 / (1 if torch.cuda.is_available() else processes.local_count())
    said = [_plan_encoder(model, batches, config, budget), _plan_rows(model, batches, budget)]
    return "; ".join(line for line in said if line)


def plan_together(model: CoLearner, batches: dict[str, Examples], config: TrainConfig) -> str:
    """`plan_memory` of the first process, for its share of the rows; the others follow it."""
    encoder = model.encoder
    own = {name: of.take(np.array_split(np.arange(len(of)), processes.count())[0]) for name, of in batches.items()}
    said = processes.on_first(lambda: plan_memory(model, own, config))
    encoder.recompute, encoder.token_budget, model.parts = processes.on_first(
        lambda: (encoder.recompute, encoder.token_budget, model.parts)
    )
    return said


def _plan_encoder(model: CoLearner, batches: dict[str, Examples], config: TrainConfig, budget: float) -> str:
    encoder = model.encoder
    needed, most = 0.0, 0.0
    for tasks in model.encoded_together(list(batches)):
        if not isinstance(encoder.adapter_of(tasks[0]), LayerAdapter):
            continue
        rows = UniqueRows({task: batches[task] for task in tasks}, len(encoder.texts)).rows
        if not len(rows):  # of a small share of rows the first step may have none
            continue
        a_token = bytes_per_token(model, rows, tasks[0])
        lengths = encoder.texts.lengths[rows]
        needed += a_token * sum(len(g) * int(lengths[g].max()) for g in encoder.groups(rows))
        most = max(most, a_token)
    if most == 0:
        run = any(isinstance(encoder.adapter_of(task), LayerAdapter) for task in batches)
        why = "no adapter inside it is trained" if run else "the backbone is not run"
        return f"the encoder keeps nothing for the backward pass: {why}"
    said = f"the encoder keeps {needed / 1e6:,.0f} MB a step for the backward pass"
    if needed <= budget * 1e6 and not config.gradient_checkpointing:
        return f"{said}, within the budget of {budget:,.0f} MB"
    encoder.recompute = True
    encoder.token_budget = int(np.clip(budget * 1e6 / most, encoder.texts.lengths.max(), encoder.token_budget))
    return f"{said}; recomputed instead, {encoder.token_budget:,} tokens at a time, within {budget:,.0f} MB"


def bytes_per_token(model: CoLearner, rows: np.ndarray, task: str) -> float:
    """Bytes that encoding keeps for the backward pass, a token; weights and cached states are not counted."""
    encoder = model.encoder
    longest = rows[np.argsort(-encoder.texts.lengths[rows], kind="stable")[:SAMPLE_ROWS]]
    recompute, encoder.recompute = encoder.recompute, False
    kept = _kept_bytes(model, lambda: encoder.encode(longest, task))
    encoder.recompute = recompute
    return kept / (len(longest) * int(encoder.texts.lengths[longest].max()))


def _plan_rows(model: CoLearner, batches: dict[str, Examples], budget: float) -> str:
    """Cut the step into so many parts that what heads and pooled methods keep of each fits the budget."""
    small, large = (_bytes_of_rows(model, batches, share) for share in SAMPLE_SHARES)
    slope = (large - small) / (SAMPLE_SHARES[1] - SAMPLE_SHARES[0])
    needed = (large + max(0.0, slope) * (1 - SAMPLE_SHARES[1])) / 1e6
    parts = min(int(np.ceil(needed / budget)), max(1, *map(len, batches.values())))
    if parts <= model.parts:
        return ""
    model.parts = parts
    return (
        f"heads and what the encoder gives them keep {needed:,.0f} MB a step: it is made in {parts} parts, which give "
        f"the same gradient, within {budget:,.0f} MB"
    )


def _bytes_of_rows(model: CoLearner, batches: dict[str, Examples], share: float) -> float:
    """Bytes that heads and pooled methods keep for the backward pass of a share of each task's rows."""
    some = {task: rows.take(np.arange(max(1, round(len(rows) * share)))) for task, rows in batches.items() if len(rows)}
    encoder = model.encoder

    def outputs() -> list[Tensor]:
        found = []
        groups = [
            (tasks, UniqueRows({task: some[task] for task in tasks}, len(encoder.texts)))
            for tasks in model.encoded_together(list(some))
        ]
        with encoder.common_part_once({tasks[0]: unique.rows for tasks, unique in groups}):
            for tasks, unique in groups:
                if isinstance(encoder.adapter_of(tasks[0]), LayerAdapter):  # what it keeps is planned apart
                    width = encoder.backbone.hidden_size
                    vectors = torch.zeros(len(unique.rows), width, device=encoder.backbone.device, requires_grad=True)
                else:
                    vectors = encoder.encode(unique.rows, tasks[0])
                for task in tasks:
                    fused = model.fusion(vectors, unique.rows, task)
                    found.append(model.head(task)(unique.head_input(task, some[task], fused)))
        return found

    training, work = model.training, replace(model.work)
    model.train()  # dropout keeps its masks
    with torch.random.fork_rng():
        kept = _kept_bytes(model, outputs)
    model.train(training)
    encoder.work = work
    return kept


def _kept_bytes(model: CoLearner, compute: Callable[[], Any]) -> int:
    """Bytes that what is computed keeps for its backward pass; weights and cached states are not counted."""
    own = {p.untyped_storage().data_ptr() for p in [*model.encoder.backbone.model.parameters(), *model.parameters()]}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it would hold the graph that holds it, for ever

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = compute()
    del result
    return sum(kept.values())


def fitting(model: CoLearner, rows: Rows, compute: Callable[[], Tensor]) -> Tensor:
    """What `compute` gives for a step's `rows`; where memory runs out it is made again in twice as many `model.parts`.

    Raises UserError when one row a part is too much.
    """
    before = model.parts
    while True:
        model.vector_gradients.clear()
        try:
            with processes.listening():
                result = compute()
            break
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one; CPUs have no class of their own
            if not _is_out_of_memory(error):
                raise
            if model.encoder.sharded:
                raise UserError(
                    "out of memory, and with FSDP no process can make a step again alone: set train.accumulate, which "
                    f"was {model.parts}, to {2 * model.parts}"
                ) from error
        # Out here the error, which holds the failed step's tensors, is gone.
        if model.parts >= max(map(len, rows.values())):
            raise UserError(
                "out of memory, with one row of each task at a time: see `peftrec check` for what a step takes; lower "
                "backbone.max_length, adapt fewer layers, or quantise the backbone"
            )
        model.parts *= 2
        for parameter in model.trainable().values():
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        seed_all(torch.initial_seed())  # the same dropout as far as it goes
    if model.parts > before:
        note(
            f"out of memory: each step is now cut into {model.parts} parts, which give the same gradient; "
            f"train.accumulate={model.parts} starts so",
            of_any=True,
        )
    return result


def _is_out_of_memory(error: BaseException) -> bool:
    words = ("can't allocate memory", "cannot allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in str(error).lower() for w in words)


class Tidy:
    """Gives memory that lies free in the process back to the system, every `TIDY_SECONDS`."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def when_due(self) -> None:
        """Do so, if it is time."""
        if time.monotonic() > self._last + TIDY_SECONDS:
            return_free_memory()
            self._last = time.monotonic()
