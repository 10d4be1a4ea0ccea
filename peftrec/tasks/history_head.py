"""The head of kinds that ask about one item and a user's history: attention from the item over the history."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.examples import Examples
from peftrec.recipe import TaskConfig
from peftrec.tasks.features import Beside
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import Head, HeadShape, input_norm
from peftrec.tasks.losses import Loss

# Above this many candidate-by-past scores each example's own pairs are scored instead of all pairs.
ALL_PAIRS = 1 << 24


class HistoryHead(Head):
    """Candidate item, the user's history with feedback, rates and features -> one number (N,).

    Candidate-aware attention over the history (DIN, Zhou et al. 2018, arXiv:1706.06978). Scores are computed between
    unique texts and gathered as scalars, and the history is summed by `embedding_bag`, so an example costs H numbers
    instead of H vectors.
    """

    def __init__(self, shape: HeadShape, hidden: int = 64) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.project = nn.Linear(shape.width, hidden)
        self.attend = nn.Linear(hidden, hidden)
        self.feedback = nn.Parameter(torch.zeros(2, hidden))  # of any past item, and of one liked by 1
        others = shape.tables - 1
        # Of an event of the second table, the third and so on, and how much more it is looked at.
        self.tables = nn.Parameter(torch.zeros(others, hidden)) if others else None
        self.heed = nn.Parameter(torch.zeros(others)) if others else None
        self.item_bias = nn.Linear(shape.width, 1, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(3 * hidden + 3 + shape.features, 2 * hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * hidden, 1),
        )
        self.known = Beside(shape.of_item, shape.of_asker, 2 * hidden)
        nn.init.normal_(self.feedback, std=0.02)
        self.register_buffer("centre", torch.zeros(shape.features))
        self.register_buffer("spread", torch.ones(shape.features))
        self.register_buffer("shift", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))

    centre: Tensor
    spread: Tensor
    shift: Tensor
    scale: Tensor

    def calibrate(self, train: Examples, loss: Loss) -> None:
        """Standardise the features, and start at the best constant prediction and the labels' own scale."""
        inputs = train.inputs()
        centre, spread = inputs.mean(0), inputs.std(0)
        # Alike in all training rows but for rounding, as users' rates are where every list of four has one click.
        alike = spread <= 1e-5 * np.maximum(1, np.abs(centre))
        self.centre.copy_(torch.from_numpy(centre))
        self.spread.copy_(torch.from_numpy(np.where(alike, 1, spread + 1e-6).astype(np.float32)))
        shift, scale = loss.start(train.label.astype(np.float64))
        self.shift.fill_(shift)
        self.scale.fill_(scale)

    def outer(self) -> list[nn.Parameter]:
        """The last layers."""
        return [*self.mlp[-1].parameters(), *self.item_bias.parameters()]

    def begin_at_zero(self) -> None:
        """The scale stays."""
        super().begin_at_zero()
        self.shift.zero_()

    def forward(self, batch: HeadInput) -> Tensor:
        """One number an example (N,): a logit, or a value in label units."""
        assert batch.history is not None and batch.feedback is not None
        item, history, feedback = batch.slots["item"], batch.history, batch.feedback
        vectors = self.norm(batch.vectors)
        x = self.project(vectors)  # (U, q)
        present = history >= 0  # (N, H)
        past = history.clamp(min=0)
        scores = self._scores(x, item, past)
        if self.heed is not None and batch.marks is not None:
            scores = scores + gather(F.pad(self.heed, (1, 0)), batch.marks)
        scores = scores.masked_fill(~present, -1e4)
        weight = scores.softmax(-1) * present  # all zero without a history
        candidate = gather(x, item)  # (N, q)
        user = F.embedding_bag(past, x, per_sample_weights=weight, mode="sum") if past.shape[1] else candidate * 0
        attended = (weight * feedback).sum(1)  # (N,)
        user = user + weight.sum(1)[:, None] * self.feedback[0] + attended[:, None] * self.feedback[1]
        if self.tables is not None and batch.marks is not None:
            for number, of in enumerate(self.tables, 1):
                user = user + (weight * (batch.marks == number)).sum(1)[:, None] * of
        count = present.sum(1)
        rate = feedback.sum(1) / count.clamp(min=1)
        z = [user, candidate, user * candidate, rate[:, None], attended[:, None], torch.log1p(count)[:, None]]
        z.append((batch.features - self.centre) / self.spread)
        raw = self.mlp[1:](self.known(self.mlp[0](torch.cat(z, -1)), batch))[:, 0] + gather(
            self.item_bias(vectors)[:, 0], item
        )
        return raw * self.scale + self.shift

    def _scores(self, x: Tensor, item: Tensor, past: Tensor) -> Tensor:
        """Attention scores (N, H) between each example's candidate and its past items."""
        asked = self.attend(x) / math.sqrt(x.shape[1])
        if len(x) ** 2 <= ALL_PAIRS:
            table = asked @ x.T  # (U, U)
            return gather(table.flatten(), item[:, None] * len(x) + past)
        columns = [(gather(asked, item) * gather(x, past[:, h])).sum(-1) for h in range(past.shape[1])]
        return torch.stack(columns, 1) if columns else x.new_zeros(past.shape)


def history_head(shape: HeadShape, config: TaskConfig) -> Head:
    """The same for all kinds that have it."""
    return HistoryHead(shape)
