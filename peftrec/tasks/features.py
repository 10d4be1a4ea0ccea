"""Features in heads: columns of numbers and of categories, read into a hidden layer."""

import torch
from torch import Tensor, nn

from peftrec.data.batches import HeadInput
from peftrec.tasks.gather import gather

SIZE = 16  # numbers that a level of a category is


class FeatureLayer(nn.Module):
    """Features (N, F) -> (N, width), all zero until something is learnt: a head that adds them starts as without them.

    `columns`: 0 for each that holds a number; for one that holds a category how many levels it has, of which 0 is the
    unknown one. As `data.features.Encoding` makes them.
    """

    def __init__(self, columns: tuple[int, ...], width: int) -> None:
        super().__init__()
        self._numbers = [place for place, levels in enumerate(columns) if not levels]
        self._categories = [place for place, levels in enumerate(columns) if levels]
        counts = [columns[place] for place in self._categories]
        first = torch.tensor([0, *counts]).cumsum(0)[:-1]
        self.register_buffer("first", first, persistent=False)  # where the levels of each category begin
        self.levels = nn.Parameter(torch.randn(sum(counts), SIZE))
        self.out = nn.Linear(len(self._numbers) + SIZE * len(counts), width, bias=False)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.levels[first] = 0  # of a level that is not known there may be nothing to learn

    first: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """(N, width)."""
        known = [features[:, self._numbers]]
        if self._categories:
            codes = features[:, self._categories].long() + self.first
            known.append(gather(self.levels, codes).flatten(1))
        return self.out(torch.cat(known, 1))


def feature_layer(columns: tuple[int, ...], width: int) -> FeatureLayer | None:
    """The layer; None without columns, so that heads without features are what they were."""
    return FeatureLayer(columns, width) if columns else None


class Beside(nn.Module):
    """What is known of item, user and event, added to a hidden layer (N, width) of a head.

    `of_item`, `of_asker`: the columns of the item's features, and of the user's with the event's.
    """

    def __init__(self, of_item: tuple[int, ...], of_asker: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.item, self.asker = feature_layer(of_item, width), feature_layer(of_asker, width)

    def outer(self) -> list[nn.Parameter]:
        """The weights at which nothing is added when they are zero, as they begin."""
        return [p for layer in (self.item, self.asker) if layer is not None for p in layer.out.parameters()]

    def forward(self, hidden: Tensor, batch: HeadInput) -> Tensor:
        """(N, width)."""
        if self.item is not None:
            assert batch.of_item is not None
            hidden = hidden + self.item(batch.of_item)
        if self.asker is not None:
            assert batch.of_asker is not None
            hidden = hidden + self.asker(batch.of_asker)
        return hidden
