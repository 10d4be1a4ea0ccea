"""The frozen backbone's own vectors of texts, kept as other states of the frozen part are."""

import numpy as np
from torch import Tensor

from peftrec.data.texts import TextTable
from peftrec.model.backbone import Backbone
from peftrec.model.cache.states import StateCache


class VectorCache(StateCache):
    """What the backbone says of a text by itself: its last layer's states, pooled. Level `vectors`; a unit is (D,).

    Where `below` gives the states entering some layer, only the layers from there up are run.
    """

    def __init__(self, backbone: Backbone, texts: TextTable, below: StateCache | None = None) -> None:
        super().__init__(backbone, texts, "vectors", backbone.num_layers)
        self.below = below

    def _run(self, rows: np.ndarray, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        states, start = (None, 0) if self.below is None else (self.below.states(rows), self.below.layer)
        return self.backbone.pool(self.backbone.run(ids, mask, types, states=states, start=start), mask)
