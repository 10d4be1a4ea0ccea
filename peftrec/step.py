"""One optimiser step's gradient, and whose rows are to blame where it is not finite."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from peftrec.data.examples import Examples
from peftrec.model import CoLearner
from peftrec.weighting import Weighting

Rows = dict[str, np.ndarray]  # task -> row numbers of its training examples

NAMED_ROWS = 5  # so many rows are named where a loss or gradient is not finite


def joint_backward(
    model: CoLearner,
    tasks: dict[str, Examples],
    rows: Rows,
    weigh: Weighting,
    accelerator: Accelerator,
    parts: int = 1,
) -> tuple[Tensor, Tensor]:
    """Accumulate the gradient of sum_t weight_t * loss_t over the step's rows; returns the losses and weights (T,).

    Rows are cut into `parts` and over processes; each piece counts by its share of the task's rows, so the gradient is
    that of the whole batch. A task without rows in this step has loss 0 and no gradient. Where a loss is not finite the
    rest of the step is left out: neither gradients nor the weighting's state take it in. The weights returned are the
    last part's.
    """
    names = list(rows)
    losses, weights = torch.zeros(len(names)), torch.ones(len(names))
    model.gradient_squares.clear()
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
        losses[index] += full[index] * share
        if not torch.isfinite(full).all():
            break
        weights = weigh(full)
        accelerator.backward((weights[index].to(values) * share.to(values) * values).sum())
    if accelerator.num_processes > 1:
        losses = accelerator.reduce(losses.to(accelerator.device), "sum").cpu()
        for parameter in model.trainable().values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = accelerator.reduce(parameter.grad, "sum")
    return losses, weights


def gradient_norms(model: CoLearner, accelerator: Accelerator) -> dict[str, float]:
    """The norms of the step's gradient before clipping, by quantity and name.

    gradient_norm/<owner>        on the adapter's parameters of that owner: the shared part, or a task's private one
    vector_gradient_norm/<task>  on the text vectors, of that task's weighted loss alone: what it asks of the encoder
    """
    norms = {
        f"gradient_norm/{owner}": torch.nn.utils.get_total_norm([p.grad for p in of.values() if p.grad is not None])
        for owner, of in model.encoder.parameters_by_owner().items()
        if any(p.requires_grad for p in of.values())
    }
    squares = model.gradient_squares
    norms |= {f"vector_gradient_norm/{task}": squares[task].sqrt() for task in model.tasks if task in squares}
    if not norms:
        return {}
    scale = 1.0 if accelerator.scaler is None else accelerator.scaler.get_scale()
    values = torch.stack([norm.float() for norm in norms.values()]) / scale
    return dict(zip(norms, values.tolist(), strict=True))  # one transfer from a GPU


def clip_gradient(parameters: list[nn.Parameter], most: float | None, accelerator: Accelerator) -> bool:
    """Clip the global gradient norm to `most` (None: leave it); false where a gradient is not finite.

    With fp16 mixed precision overflowing gradients are the scaler's business: it leaves the step out, scales less.
    """
    if most is not None:
        norm = accelerator.clip_grad_norm_(parameters, most)
    else:
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return accelerator.scaler is not None or bool(torch.isfinite(norm))


def find_culprits(model: CoLearner, tasks: dict[str, Examples], rows: Rows) -> str:
    """The tasks whose loss or gradient is not finite by itself, each with its first rows that are to blame.

    Rows are tried in halves, so that a few among many are found in a few forwards. Gradients are left cleared.
    """
    lines = []
    for task, own in rows.items():
        problem = _problem(model, tasks[task], task, own)
        if problem is not None:
            found: list[int] = []
            _search(model, tasks[task], task, own, found)
            more = ", ..." if len(found) == NAMED_ROWS else ""
            lines.append(f"the {problem} of task {task} (its training rows {', '.join(map(str, found))}{more})")
    return " and ".join(lines) or f"the sum of the gradients of {', '.join(rows)}"


def _search(model: CoLearner, examples: Examples, task: str, rows: np.ndarray, found: list[int]) -> None:
    """Add the rows that are to blame, by halving `rows`, which together have a problem."""
    if len(rows) == 1:
        found.append(int(rows[0]))
        return
    halves = np.array_split(rows, 2)
    bad = [half for half in halves if _problem(model, examples, task, half) is not None]
    for half in bad:
        if len(found) < NAMED_ROWS:
            _search(model, examples, task, half, found)
    if not bad:  # only together
        found.extend(rows[: NAMED_ROWS - len(found)].tolist())


def _problem(model: CoLearner, examples: Examples, task: str, rows: np.ndarray) -> str | None:
    """'loss' or 'gradient', whichever is not finite for these rows of one task; None: both are."""
    if not len(rows):
        return None
    loss = model.losses({task: examples.take(rows)}).sum()
    if not torch.isfinite(loss):
        return "loss"
    parameters = list(model.trainable().values())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return None if all(g is None or torch.isfinite(g).all() for g in gradients) else "gradient"
