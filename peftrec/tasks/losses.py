"""Losses of tasks, and how a head's raw output becomes a prediction under each."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Raw output and label of N rows -> mean loss, a scalar. Outputs: (N, C) for cross_entropy, (N, 1 + C) for softmax: the
# row's own item before the candidates, so it reads no label; (N,) for the others.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda output, label: F.cross_entropy(output, label.long()),
    "softmax": lambda output, label: (output.logsumexp(-1) - output[:, 0]).mean(),
    "bce": F.binary_cross_entropy_with_logits,
    "mse": F.mse_loss,
    "mae": F.l1_loss,
}

# The metric that equals a task's loss on the validation rows, and the power it is raised to.
AS_LOSS = {
    "cross_entropy": ("log_loss", 1),
    "softmax": ("log_loss", 1),
    "bce": ("log_loss", 1),
    "mae": ("mae", 1),
    "mse": ("rmse", 2),
}


def to_prediction(loss: str, output: Tensor) -> Tensor:
    """Class probabilities (N, C) for cross_entropy, a probability (N,) for bce, the own item's score (N,) for softmax,
    the number itself (N,) otherwise."""
    if loss == "cross_entropy":
        return output.softmax(-1)
    if loss == "softmax":
        return output[:, 0]
    return torch.sigmoid(output) if loss == "bce" else output
