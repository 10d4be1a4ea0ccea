"""The head of matches without grades: query and item by the cosine of their vectors, as the backbone gives it first."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.tasks.features import feature_layer
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import CatalogueHead, HeadShape

# What cosines are multiplied by before anything is known (Henderson et al. 2017, as sentence-transformers).
SCALE = 20.0
# What a past may come to count in some hundred steps, of which each moves a number by about a thousandth: beside the
# scale of cosines it must count as much.
LOUD = 400.0


class Change(nn.Module):
    """Unit vectors (N, D) -> unit vectors (N, D): the same until something is learnt."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.size = width**-0.5  # of a number in a unit vector
        for parameter in self.mlp[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, D)."""
        unit = F.normalize(vectors, dim=-1)
        return F.normalize(unit + self.size * self.mlp(unit), dim=-1)


class Past(nn.Module):
    """What an asker's past adds to a query: the items there, by two attentions over them, one to what is like the query
    and one to what is newest; an item that is like these is the likelier."""

    def __init__(self) -> None:
        super().__init__()
        self.heed = nn.Parameter(torch.tensor([1.0, 0.0]))  # of the likeness to the query, in units of SCALE
        self.fade = nn.Parameter(torch.tensor([0.0, 1.0]))  # by places back
        self.amount = nn.Parameter(torch.zeros(2))  # of what is read, in units of LOUD

    def forward(self, query: Tensor, items: Tensor, history: Tensor) -> Tensor:
        """Unit vectors of queries (N, D) and texts (U, D), and histories (N, H), newest last, -1 where absent ->
        (N, D), zero where nothing was done before."""
        present, past = history >= 0, history.clamp(min=0)
        if not past.shape[1]:
            return torch.zeros_like(query)
        like = torch.stack([(query * gather(items, column)).sum(-1) for column in past.T], 1)  # (N, H)
        back = torch.arange(past.shape[1], 0, -1, device=past.device, dtype=like.dtype).log()
        found = torch.zeros_like(query)
        for heed, fade, amount in zip(self.heed, self.fade, self.amount, strict=True):
            score = (SCALE * heed * like - fade * back).masked_fill(~present, -1e4)
            weight = score.softmax(-1) * present
            read = F.embedding_bag(past, items.to(weight), per_sample_weights=weight, mode="sum")
            found = found + LOUD * amount * read
        return found


class MatchHead(CatalogueHead):
    """score = scale * cosine(query, item), each vector with what the head has learned to change of it; what the asker's
    past adds; and features."""

    def __init__(self, shape: HeadShape, hidden: int = 64, reads_past: bool = False) -> None:
        super().__init__()
        self.query = Change(shape.width, hidden, shape.dropout)
        self.item = Change(shape.width, hidden, shape.dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.known_asker = feature_layer(shape.of_asker, shape.width)
        self.known_item = feature_layer(shape.of_item, shape.width + 1)
        self.signals = None
        self.past = Past() if reads_past else None

    def begin_beside(self, start: Any) -> None:
        """The cosine, which is the head's own, has the weight that was fitted, but never so little that nothing can be
        learnt."""
        if start.scale is not None:
            nn.init.constant_(self.log_scale, math.log(max(start.scale, 1.0)))

    def outer(self) -> list[nn.Parameter]:
        """The last layers of both changes and of the features, and the scale."""
        layers = [self.query.mlp[-1], self.item.mlp[-1]]
        layers += [known.out for known in (self.known_asker, self.known_item) if known is not None]
        past = [] if self.past is None else [self.past.amount]
        return [self.log_scale, *past, *(p for layer in layers for p in layer.parameters())]

    def users(self, batch: HeadInput) -> Tensor:
        """What each example's query asks for (N, D)."""
        query = self.query(gather(batch.vectors, batch.slots["query"]))
        asked = self.log_scale.exp() * query
        if self.past is not None:
            assert batch.history is not None
            asked = asked + self.past(query, self.item(batch.vectors), batch.history)
        if self.known_asker is None:
            return asked
        assert batch.of_asker is not None
        return asked + self.known_asker(batch.of_asker)

    def items(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What each text offers (U, D), and no bias (U,)."""
        return self.item(vectors), vectors.new_zeros(len(vectors))
