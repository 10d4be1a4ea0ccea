"""Memory of a training step: what the encoder keeps for the backward pass, and whether that fits a budget."""

import numpy as np
import torch
from torch import Tensor

from peftrec.adapters.base import LayerAdapter
from peftrec.data.examples import Examples
from peftrec.data.planner import UniqueRows, buckets
from peftrec.environment import free_memory_mb
from peftrec.model import CoLearner
from peftrec.recipe import TrainConfig

SAMPLE_ROWS = 16  # texts that are encoded to measure what one token keeps


def plan_memory(model: CoLearner, batches: dict[str, Examples], config: TrainConfig) -> str:
    """Decide whether the encoder's activations of a step are kept or recomputed; returns a line for the user.

    What is kept is measured on a few of the longest texts of `batches`, which stand for every step. Beyond the budget
    each bucket keeps its output only and is computed again in the backward pass, in buckets that fit the budget: the
    gradient is the same, the memory no longer grows with the batch.
    """
    encoder = model.encoder
    needed, most = 0.0, 0.0
    for tasks in model.encoded_together(list(batches)):
        if not isinstance(encoder.adapter_of(tasks[0]), LayerAdapter):
            continue
        rows = UniqueRows({task: batches[task] for task in tasks}, len(encoder.texts)).rows
        a_token = bytes_per_token(model, rows, tasks[0])
        lengths = encoder.texts.lengths[rows]
        needed += a_token * sum(len(g) * int(lengths[g].max()) for g in buckets(lengths, encoder.token_budget))
        most = max(most, a_token)
    if most == 0:
        run = any(isinstance(encoder.adapter_of(task), LayerAdapter) for task in batches)
        why = "no adapter inside it is trained" if run else "the backbone is not run"
        return f"the encoder keeps nothing for the backward pass: {why}"
    budget = config.memory_mb or free_memory_mb() / 2
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
    own = {p.untyped_storage().data_ptr() for p in [*encoder.backbone.model.parameters(), *model.parameters()]}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    recompute, encoder.recompute = encoder.recompute, False
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        vectors = encoder.encode(longest, task)
    encoder.recompute = recompute
    del vectors
    return sum(kept.values()) / (len(longest) * int(encoder.texts.lengths[longest].max()))
