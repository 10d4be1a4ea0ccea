"""Heads: encoded slots and features in, raw predictions out. They know nothing of adapters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.data.batches import HeadInput
from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.signals import SHARED
from peftrec.tasks.features import Beside, FeatureLayer
from peftrec.tasks.gather import gather
from peftrec.tasks.losses import Loss


@dataclass(frozen=True)
class HeadShape:
    """What a head's weights depend on: the encoder's width D, the classes C (0 without), the features F, dropout, how
    many tables histories are of, and the columns of features of the item, and of the user with the event."""

    width: int
    classes: int
    features: int
    dropout: float
    tables: int = 1
    of_item: tuple[int, ...] = ()
    of_asker: tuple[int, ...] = ()


class Head(nn.Module):
    """What every head has: a forward from HeadInput, and a start at the labels' level."""

    def calibrate(self, train: Examples, loss: Loss) -> None:
        """Set what the head takes from the training rows (feature scales, label level); by default nothing."""

    def outer(self) -> list[nn.Parameter]:
        """The parameters that all that is learned passes through last: with these as they were before the first step
        the head says what it began at, whatever the others are. Of every head of a kind that has a start."""
        raise NotImplementedError

    def begin_at_zero(self) -> None:
        """Make the raw output zero for every row, by its outer parameters: what is learned is added to a start."""
        for parameter in self.outer():
            nn.init.zeros_(parameter)

    def begin_beside(self, start: Any) -> None:
        """Begin with nothing beside what a fitted `tasks.starts.Start` says; or take over what of it is the head's."""
        self.begin_at_zero()


def input_norm(width: int) -> nn.LayerNorm:
    """Brings any backbone's vectors to one size: theirs differ by orders of magnitude (MiniLM 0.3, SmolLM2 2).

    It starts at MiniLM's own size, where the learning rates of the recipes were chosen; at 1 the heads over-fit sooner.
    """
    norm = nn.LayerNorm(width)
    nn.init.constant_(norm.weight, 0.3)
    return norm


class CatalogueHead(Head):
    """A head whose score of any item is one dot product, so that a catalogue is ranked by one matrix product.

    score = users . items + bias + weights . what is known of the item for the user (`peftrec.data.signals`), the last
    where choices count; in training what the past says is left out of a share `left_out` of the rows, so that the rest
    learns what to say of users and items of which nothing is known
    """

    signals: nn.Parameter | None
    known_item: FeatureLayer | None
    left_out: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.known_item = None  # items have features only where the head makes a layer (F) -> (q + 1) of them

    def begin(self, data: TaskData) -> str:
        """Weigh the signals before training; returns which weigh anything."""
        raise NotImplementedError

    def users(self, batch: HeadInput) -> Tensor:
        """What each example's history or query asks for (N, q)."""
        raise NotImplementedError

    def items(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What each text offers (U, q), and its bias (U,)."""
        raise NotImplementedError

    def with_features(self, offered: Tensor, bias: Tensor, of_item: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same (I, q), (I,) of items whose texts offer so much and that have these features (I, F)."""
        if self.known_item is None:
            return offered, bias
        assert of_item is not None
        more = self.known_item(of_item)
        return offered + more[:, :-1], bias + more[:, -1]

    def forward(self, batch: HeadInput) -> Tensor:
        """Scores (N, 1 + C): the example's own item, then the candidates; -inf for those that are barred. Without
        candidates (N, 1)."""
        users, own = self.users(batch), batch.slots["item"]
        offered, bias = self.items(batch.vectors)
        mine, mine_bias = self.with_features(gather(offered, own), gather(bias, own), batch.of_item)
        scores = ((users * mine).sum(-1) + mine_bias)[:, None]
        if batch.candidates is not None:
            assert batch.barred is not None
            there, there_bias = gather(offered, batch.candidates), gather(bias, batch.candidates)
            there, there_bias = self.with_features(there, there_bias, batch.of_candidates)
            others = users @ there.T + there_bias
            scores = torch.cat([scores, others.masked_fill(batch.barred, float("-inf"))], 1)
        if self.signals is None:
            return scores
        assert batch.signals is not None
        if not self.training or not self.left_out:
            return scores + batch.signals @ self.signals
        weights = self.signals.repeat(len(scores), 1)  # (N, S)
        weights[torch.rand(len(scores), device=scores.device) < self.left_out, SHARED:] = 0
        return scores + torch.bmm(batch.signals, weights[:, :, None])[:, :, 0]


class NumberHead(Head):
    """One encoded text -> one number (N,)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.out = nn.Linear(shape.width, 1)
        self.register_buffer("shift", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))

    def calibrate(self, train: Examples, loss: Loss) -> None:
        """Start at the best constant prediction and the labels' own scale."""
        shift, scale = loss.start(train.label.astype(np.float64))
        self.shift.fill_(shift)
        self.scale.fill_(scale)

    def outer(self) -> list[nn.Parameter]:
        """The last layer."""
        return [*self.out.parameters()]

    def begin_at_zero(self) -> None:
        """The scale stays."""
        super().begin_at_zero()
        self.shift.zero_()

    def forward(self, batch: HeadInput) -> Tensor:
        """One number an example (N,), in label units."""
        numbers = self.out(self.dropout(self.norm(batch.vectors)))[:, 0]
        return gather(numbers, batch.slots["text"]) * self.scale + self.shift


class TextHead(Head):
    """One encoded text or text pair, and features -> logits over classes (N, C)."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.out = nn.Linear(shape.width, shape.classes)
        self.known = Beside(shape.of_item, shape.of_asker, shape.classes)

    def calibrate(self, train: Examples, loss: Loss) -> None:
        """Start at the rates of labels of which a row may have several; of other classes all are as likely."""
        if loss.labels == "tags":
            shift, _ = loss.start(train.label.astype(np.float64))
            with torch.no_grad():
                self.out.bias.copy_(torch.from_numpy(shift))

    def outer(self) -> list[nn.Parameter]:
        """The last layers of text and features."""
        return [*self.out.parameters(), *self.known.outer()]

    def forward(self, batch: HeadInput) -> Tensor:
        """Logits (N, C)."""
        rows = batch.slots["text" if "text" in batch.slots else "pair"]
        # Over the unique texts first: a text that many rows share is scored once.
        return self.known(gather(self.out(self.dropout(self.norm(batch.vectors))), rows), batch)
