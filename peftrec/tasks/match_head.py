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


class MatchHead(CatalogueHead):
    """score = scale * cosine(query, item), each vector with what the head has learned to change of it; and features."""

    def __init__(self, shape: HeadShape, hidden: int = 64) -> None:
        super().__init__()
        self.query = Change(shape.width, hidden, shape.dropout)
        self.item = Change(shape.width, hidden, shape.dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.known_asker = feature_layer(shape.of_asker, shape.width)
        self.known_item = feature_layer(shape.of_item, shape.width + 1)
        self.signals = None

    def begin_beside(self, start: Any) -> None:
        """The cosine, which is the head's own, has the weight that was fitted, but never so little that nothing can be
        learnt."""
        if start.scale is not None:
            nn.init.constant_(self.log_scale, math.log(max(start.scale, 1.0)))

    def outer(self) -> list[nn.Parameter]:
        """The last layers of both changes and of the features, and the scale."""
        layers = [self.query.mlp[-1], self.item.mlp[-1]]
        layers += [known.out for known in (self.known_asker, self.known_item) if known is not None]
        return [self.log_scale, *(p for layer in layers for p in layer.parameters())]

    def users(self, batch: HeadInput) -> Tensor:
        """What each example's query asks for (N, D)."""
        asked = self.log_scale.exp() * self.query(gather(batch.vectors, batch.slots["query"]))
        if self.known_asker is None:
            return asked
        assert batch.of_asker is not None
        return asked + self.known_asker(batch.of_asker)

    def items(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What each text offers (U, D), and no bias (U,)."""
        return self.item(vectors), vectors.new_zeros(len(vectors))
