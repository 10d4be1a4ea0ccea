"""A weighting of one's own: tasks count by the `weight` of the recipe whatever unit their loss is in.

A time in log-seconds has losses near 2, a click's cross-entropy near 0.5, so equal weights favour the time. Here each
loss is divided by its own running mean.
"""

import torch
from torch import Tensor

from peftrec.training.weighting import Weighting


class EqualScale(Weighting):
    """The recipe's weights over the running mean of each task's loss; `momentum` of it stays at every step."""

    needs = "losses"
    mean: Tensor

    def __init__(self, lambdas: Tensor, momentum: float = 0.9) -> None:
        super().__init__(lambdas)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be 0 or more and below 1; found {momentum}")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros_like(lambdas))  # a buffer: every checkpoint holds it

    def forward(self, losses: Tensor) -> Tensor:
        """The losses (T,) of a step, 0 for a task without rows in it -> the weights (T,)."""
        seen = losses > 0
        new = torch.where(self.mean > 0, self.momentum * self.mean + (1 - self.momentum) * losses, losses)
        self.mean.copy_(torch.where(seen, new, self.mean))
        return self.lambdas / torch.where(self.mean > 0, self.mean, 1.0)
