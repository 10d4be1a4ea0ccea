"""Whose rows are to blame where a step's loss or gradient is not finite."""

import numpy as np
import torch

from peftrec.data.examples import Examples
from peftrec.model.co_learner import CoLearner
from peftrec.training.order import Rows

NAMED_ROWS = 5  # so many are named


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
    numbers = [g.coalesce().values() if g.is_sparse else g for g in gradients if g is not None]
    return None if all(torch.isfinite(of).all() for of in numbers) else "gradient"
