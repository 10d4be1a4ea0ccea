"""FAMO, as a weighting from outside: tasks whose loss falls slowly count more (Liu et al. 2023, arXiv:2306.03792).

The loss after a step, which FAMO asks of the same rows in a second forward pass, is that of the steps that follow: a
running mean. It is here to be measured; it did not earn a place in peftrec.
"""

import torch
from torch import Tensor

from peftrec.training.weighting import Weighting

KEEP, RATE, DECAY = 0.8, 0.025, 1e-3  # of the running mean; of the weights


class FAMO(Weighting):
    """softmax(z) over the losses, together as much as the recipe's weights; z moves against how fast losses fall."""

    needs = "losses"
    mean: Tensor
    logits: Tensor

    def __init__(self, lambdas: Tensor) -> None:
        super().__init__(lambdas)
        self.register_buffer("mean", torch.zeros_like(lambdas))
        self.register_buffer("logits", torch.zeros_like(lambdas))

    def forward(self, losses: Tensor) -> Tensor:
        """The losses (T,) of a step, 0 for a task without rows in it -> the weights (T,)."""
        before = self.mean.clone()
        new = torch.where(before > 0, KEEP * before + (1 - KEEP) * losses, losses)
        self.mean.copy_(torch.where(losses > 0, new, before))
        share = self.logits.softmax(0)
        if (before > 0).all():
            fallen = before.log() - self.mean.log()
            self.logits.sub_(RATE * (share * (fallen - (share * fallen).sum()) + DECAY * self.logits))
        weights = self.lambdas * self.logits.softmax(0) / torch.where(self.mean > 0, self.mean, 1.0)
        return weights * self.lambdas.sum() / weights.sum()
