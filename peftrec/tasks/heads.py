"""Heads: encoded slots and features in, raw predictions out. They know nothing of adapters."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.examples import Examples

# Above this many candidate-by-past scores the history head scores each example's own pairs instead of all pairs.
ALL_PAIRS = 1 << 24


@dataclass(frozen=True)
class HeadShape:
    """What a head's weights depend on: the encoder's width D, the classes C (0 without), the features F, dropout."""

    width: int
    classes: int
    features: int
    dropout: float


class Head(nn.Module):
    """What every head has: a forward from HeadInput, and a start at the labels' level."""

    def calibrate(self, train: Examples, loss: str) -> None:
        """Set what the head takes from the training rows (feature scales, label level); by default nothing."""


def input_norm(width: int) -> nn.LayerNorm:
    """Brings any backbone's vectors to one size: theirs differ by orders of magnitude (MiniLM 0.3, SmolLM2 2).

    It starts at MiniLM's own size, where the learning rates of the recipes were chosen; at 1 the heads over-fit sooner.
    """
    norm = nn.LayerNorm(width)
    nn.init.constant_(norm.weight, 0.3)
    return norm


class TowerHead(Head):
    """Query and item towers -> logits over grades (N, C), after InferSent's matching features [u, v, |u - v|, u * v]
    (Conneau et al. 2017, arXiv:1705.02364), with the cosine of the two vectors as the pretrained model gives it."""

    def __init__(self, shape: HeadShape, hidden: int = 128) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.project = nn.Linear(shape.width, hidden)
        self.mlp = nn.Sequential(
            nn.Linear(4 * hidden + 1, hidden), nn.GELU(), nn.Dropout(shape.dropout), nn.Linear(hidden, shape.classes)
        )

    def forward(self, batch: HeadInput) -> Tensor:
        """Logits (N, C)."""
        projected, unit = self.project(self.norm(batch.vectors)), F.normalize(batch.vectors, dim=-1)
        q, v = batch.slots["query"], batch.slots["item"]
        a, b = projected[q], projected[v]  # (N, hidden)
        cosine = (unit[q] * unit[v]).sum(-1, keepdim=True)
        return self.mlp(torch.cat([a, b, (a - b).abs(), a * b, cosine], -1))


class TextHead(Head):
    """One encoded text or text pair -> logits over classes (N, C)."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.out = nn.Linear(shape.width, shape.classes)

    def forward(self, batch: HeadInput) -> Tensor:
        """Logits (N, C)."""
        rows = batch.slots["text" if "text" in batch.slots else "pair"]
        # Over the unique texts first: a text that many rows share is scored once.
        return self.out(self.dropout(self.norm(batch.vectors)))[rows]


class HistoryHead(Head):
    """Candidate item, the user's history with feedback, and features -> one number (N,).

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
        self.item_bias = nn.Linear(shape.width, 1, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(3 * hidden + 3 + shape.features, 2 * hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * hidden, 1),
        )
        nn.init.normal_(self.feedback, std=0.02)
        self.register_buffer("centre", torch.zeros(shape.features))
        self.register_buffer("spread", torch.ones(shape.features))
        self.register_buffer("shift", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))

    centre: Tensor
    spread: Tensor
    shift: Tensor
    scale: Tensor

    def calibrate(self, train: Examples, loss: str) -> None:
        """Standardise the features, and start at the best constant prediction and the labels' own scale."""
        label = train.label.astype(np.float64)
        inputs = train.inputs()
        self.centre.copy_(torch.from_numpy(inputs.mean(0)))
        self.spread.copy_(torch.from_numpy(inputs.std(0) + 1e-6))
        if loss == "bce":
            rate = float(np.clip(label.mean(), 1e-3, 1 - 1e-3))
            self.shift.fill_(math.log(rate / (1 - rate)))
        else:
            self.shift.fill_(float(np.median(label) if loss == "mae" else label.mean()))
            self.scale.fill_(float(label.std() + 1e-6))

    def forward(self, batch: HeadInput) -> Tensor:
        """One number an example (N,): a logit, or a value in label units."""
        assert batch.history is not None and batch.feedback is not None
        item, history, feedback = batch.slots["item"], batch.history, batch.feedback
        vectors = self.norm(batch.vectors)
        x = self.project(vectors)  # (U, q)
        present = history >= 0  # (N, H)
        past = history.clamp(min=0)
        scores = self._scores(x, item, past).masked_fill(~present, -1e4)
        weight = scores.softmax(-1) * present  # all zero without a history
        candidate = x[item]  # (N, q)
        user = F.embedding_bag(past, x, per_sample_weights=weight, mode="sum") if past.shape[1] else candidate * 0
        attended = (weight * feedback).sum(1)  # (N,)
        user = user + weight.sum(1)[:, None] * self.feedback[0] + attended[:, None] * self.feedback[1]
        count = present.sum(1)
        rate = feedback.sum(1) / count.clamp(min=1)
        z = [user, candidate, user * candidate, rate[:, None], attended[:, None], torch.log1p(count)[:, None]]
        z.append((batch.features - self.centre) / self.spread)
        raw = self.mlp(torch.cat(z, -1))[:, 0] + self.item_bias(vectors)[item, 0]
        return raw * self.scale + self.shift

    def _scores(self, x: Tensor, item: Tensor, past: Tensor) -> Tensor:
        """Attention scores (N, H) between each example's candidate and its past items."""
        asked = self.attend(x) / math.sqrt(x.shape[1])
        if len(x) ** 2 <= ALL_PAIRS:
            table = asked @ x.T  # (U, U)
            return table.flatten()[item[:, None] * len(x) + past]
        columns = [(asked[item] * x[past[:, h]]).sum(-1) for h in range(past.shape[1])]
        return torch.stack(columns, 1) if columns else x.new_zeros(past.shape)


class RetrievalHead(Head):
    """The user's history against any item, as one dot product: a catalogue is ranked by one matrix product.

    score = user . item + bias(item text) + weight * log1p(earlier choices of the item). It starts as the last term with
    weight 1, which is popularity as it stood; the rest learns what a history adds. A user is several readings of the
    history, each an attention over it by content, feedback and recency, none of which knows the item (unlike DIN).
    """

    def __init__(self, shape: HeadShape, hidden: int = 64, readings: int = 4) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.item = nn.Linear(shape.width, hidden)
        self.past = nn.Linear(shape.width, hidden)
        self.attend = nn.Linear(shape.width, readings)
        self.liked = nn.Parameter(torch.zeros(readings))
        self.fade = nn.Parameter(torch.linspace(0, 1.5, readings))  # from the whole past alike to mostly the newest
        self.feedback = nn.Parameter(torch.zeros(readings, hidden))  # of a past all liked
        self.user = nn.Sequential(
            nn.Linear(readings * hidden + 1, 2 * hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(2 * hidden, hidden),
        )
        self.bias = nn.Linear(shape.width, 1, bias=False)
        self.popularity = nn.Parameter(torch.tensor(1.0))
        nn.init.zeros_(self.bias.weight)

    def users(self, batch: HeadInput) -> Tensor:
        """What each example's history asks for (N, q)."""
        assert batch.history is not None and batch.feedback is not None
        present, past = batch.history >= 0, batch.history.clamp(min=0)  # (N, H), newest last
        vectors = self.norm(batch.vectors)
        x, content = self.past(vectors), self.attend(vectors)  # (U, q), (U, R)
        back = torch.arange(past.shape[1], 0, -1, device=past.device, dtype=x.dtype).log()  # places back, (H,)
        read = []
        for reading in range(len(self.fade)):
            score = content[:, reading][past] + self.liked[reading] * batch.feedback - self.fade[reading] * back
            weight = score.masked_fill(~present, -1e4).softmax(-1) * present  # all zero without a history
            summed = F.embedding_bag(past, x, per_sample_weights=weight, mode="sum") if past.shape[1] else None
            if summed is None:
                summed = x.new_zeros(len(past), x.shape[1])
            read.append(summed + (weight * batch.feedback).sum(1, keepdim=True) * self.feedback[reading])
        return self.user(torch.cat([*read, present.sum(1, keepdim=True).to(x.dtype).log1p()], -1))

    def items(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What each text offers (U, q), and its bias (U,)."""
        vectors = self.norm(vectors)
        return self.item(vectors), self.bias(vectors)[:, 0]

    def forward(self, batch: HeadInput) -> Tensor:
        """Scores (N, 1 + C): the example's own item, then the candidates; -inf for a candidate that is its own item, or
        in its history. Without candidates (N, 1)."""
        assert batch.popularity is not None
        users, own = self.users(batch), batch.slots["item"]
        offered, bias = self.items(batch.vectors)
        scores = ((users * offered[own]).sum(-1) + bias[own])[:, None]
        if batch.candidates is not None:
            others = users @ offered[batch.candidates].T + bias[batch.candidates]
            scores = torch.cat([scores, others.masked_fill(self._known(batch), float("-inf"))], 1)
        return scores + self.popularity * batch.popularity

    def _known(self, batch: HeadInput) -> Tensor:
        """Which candidates are the example's own item, or in its history, bool (N, C)."""
        assert batch.candidates is not None and batch.history is not None
        count = len(batch.candidates)
        column = torch.full((len(batch.vectors) + 1,), count, device=batch.candidates.device)  # count: no candidate
        column[batch.candidates] = torch.arange(count, device=column.device)
        past = column[batch.history]  # an absent place, -1, finds the last entry
        known = torch.zeros(len(past), count + 1, dtype=torch.bool, device=column.device).scatter_(1, past, True)
        return known[:, :count] | (batch.candidates == batch.slots["item"][:, None])
