"""One optimiser step's gradient, and whose rows are to blame where it is not finite."""

from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from peftrec.data.examples import Examples
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.progress import note
from peftrec.model.co_learner import CoLearner
from peftrec.training.sharding import clip, is_shard, total_norm
from peftrec.training.weighting import Weighting

Rows = dict[str, np.ndarray]  # task -> row numbers of its training examples

NAMED_ROWS = 5  # so many rows are named where a loss or gradient is not finite


def seed_step(seed: int, step: int) -> None:
    """Make dropout a function of (seed, step) alone, so that a resumed run repeats it; each process has its own."""
    torch.manual_seed(seed * 1_000_003 + step + (processes.number() << 40))


def joint_backward(
    model: CoLearner, tasks: dict[str, Examples], rows: Rows, weigh: Weighting, accelerator: Accelerator
) -> tuple[Tensor, Tensor]:
    """Set the gradient of sum_t weight_t * loss_t over the step's rows; returns the losses and weights (T,).

    Rows are cut over processes, and each process's into `model.parts`; each piece counts by its share of the task's
    rows, so the gradient is that of the whole batch. A task without rows in this step has loss 0 and no gradient. Where
    a loss is not finite the rest of the step is left out: neither gradients nor the weighting's state take it in. When
    memory runs out, the step is made again in twice as many parts, and so are those that follow.
    """
    names, several = list(rows), processes.count()
    own = {name: np.array_split(r, several)[processes.number()] for name, r in rows.items()}
    weights: Tensor | None = None

    def forward(backward: bool) -> Tensor:
        """This process's share of the losses (T,), piece after piece; with `backward` the gradient is accumulated."""
        nonlocal weights
        losses = torch.zeros(len(names))
        for part in range(model.parts):
            piece = {name: np.array_split(r, model.parts)[part] for name, r in own.items()}
            batches = {name: tasks[name].take(r) for name, r in piece.items() if len(r)}
            if not batches and model.encoder.sharded:  # the others need this process: rows that count for nothing
                batches = {name: tasks[name].take(r[:1]) for name, r in rows.items() if len(r)}
            if not batches:
                continue
            share = torch.tensor([len(piece[n]) / len(rows[n]) for n in batches])
            with accelerator.autocast(), torch.set_grad_enabled(backward):
                values = model.losses(batches)
            index = torch.tensor([names.index(n) for n in batches])
            full = torch.zeros(len(names)).index_copy(0, index, values.detach().cpu().float())
            losses[index] += full[index] * share
            if not torch.isfinite(full).all() and not model.encoder.sharded:
                break
            if backward:
                weights = weigh(full) if weights is None else weights
                accelerator.backward((weights[index].to(values) * share.to(values) * values).sum())
        return losses

    if (several > 1 or model.parts > 1) and not getattr(weigh, "constant", False):
        # Weights that depend on the losses need those of the whole batch first, with the same dropout.
        losses = processes.add_up(_fitting(model, own, lambda: forward(False)))
        if not torch.isfinite(losses).all():
            return losses, torch.ones(len(names))
        weights = weigh(losses)
        torch.manual_seed(torch.initial_seed())
    losses = processes.add_up(_fitting(model, own, lambda: forward(True)))
    if torch.isfinite(losses).all():
        processes.add_gradients([p for p in model.trainable().values() if not is_shard(p)])
        if several > 1:
            zero = torch.zeros((), device=accelerator.device)
            squares = torch.stack([model.gradient_squares.get(n, zero) for n in names])
            model.gradient_squares |= dict(zip(names, processes.add_up(squares), strict=True))
    return losses, torch.ones(len(names)) if weights is None else weights


def _fitting(model: CoLearner, rows: Rows, forward: Callable[[], Tensor]) -> Tensor:
    """What `forward` gives, in so many parts that memory suffices. Raises UserError when one row a part is too much."""
    before = model.parts
    while True:
        model.gradient_squares.clear()
        try:
            with processes.listening():
                result = forward()
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
        torch.manual_seed(torch.initial_seed())  # the same dropout as far as it goes
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


def gradient_norms(model: CoLearner, accelerator: Accelerator) -> dict[str, float]:
    """The norms of the step's gradient before clipping, by quantity and name.

    gradient_norm/<owner>        on the adapter's parameters of that owner: the shared part, or a task's private one
    vector_gradient_norm/<task>  on the text vectors, of that task's weighted loss alone: what it asks of the encoder
    """
    norms = {
        f"gradient_norm/{owner}": total_norm([p.grad for p in of.values() if p.grad is not None])
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
        accelerator.unscale_gradients()
    norm = total_norm([p.grad for p in parameters if p.grad is not None])
    if most is not None:
        clip(parameters, most, norm)
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
