"""What is kept of the frozen part of the network, so that it is computed once: token states after the trunk, or one
pooled vector per layer and text."""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from peftrec.backbone import Backbone
from peftrec.data.planner import buckets
from peftrec.data.texts import TextTable

Level = Literal["none", "layer", "pooled"]
Track = Callable[[Iterable[np.ndarray], int, str], Iterable[np.ndarray]]

# Tokens in one forward of the frozen part: large enough for full speed on a CPU, small enough for its memory.
TOKEN_BUDGET = 8192


class StateCache:
    """The frozen part's output for every row of a text table, in memory, in the compute dtype.

    Level `layer`: token states entering layer `layer`, ragged, (sum of lengths, D). Level `pooled`: (V, L + 1, D).
    Rows added to the table later are computed by the next `update`.
    """

    def __init__(self, backbone: Backbone, texts: TextTable, level: Literal["layer", "pooled"], layer: int) -> None:
        self.backbone, self.texts, self.level, self.layer = backbone, texts, level, layer
        width = (backbone.num_layers + 1, backbone.hidden_size) if level == "pooled" else (backbone.hidden_size,)
        self.data = torch.empty((0, *width), dtype=backbone.dtype)
        self.rows = 0

    @torch.inference_mode(False)
    @torch.no_grad()
    def update(self, track: Track | None = None) -> None:
        """Compute the rows that are not there yet. `track(batches, total, what)` shows progress."""
        texts, new = self.texts, np.arange(self.rows, len(self.texts))
        if len(new) == 0:
            return
        size = len(texts) if self.level == "pooled" else int(texts.offsets[-1])
        grown = torch.empty((size, *self.data.shape[1:]), dtype=self.data.dtype)
        grown[: len(self.data)] = self.data
        groups = [new[g] for g in buckets(texts.lengths[new], TOKEN_BUDGET)]
        for rows in groups if track is None else track(groups, len(new), f"frozen part, {self.level} states"):
            ids, mask, types = (t.to(self.backbone.device) for t in texts.pad(rows))
            if self.level == "pooled":
                grown[torch.from_numpy(rows)] = self.backbone.pooled_layers(ids, mask, types).to(grown)
            else:
                states = self.backbone.run(ids, mask, types, stop=self.layer).to(grown)
                positions, present = texts.gather(rows)
                grown[torch.from_numpy(positions[present])] = states[torch.from_numpy(present)]
        self.data, self.rows = grown, len(texts)

    def token_states(self, rows: np.ndarray) -> Tensor:
        """Token states of `rows` (U, T, D), padded on the right with a real token's state (masked by the model)."""
        positions, _ = self.texts.gather(rows)
        return self.data[torch.from_numpy(positions)].to(self.backbone.device)

    def pooled_states(self, rows: np.ndarray) -> Tensor:
        """Pooled states of `rows`, (U, L + 1, D)."""
        if len(rows) == self.rows and len(rows) and rows[0] == 0 and rows[-1] == self.rows - 1:
            return self.data.to(self.backbone.device)  # all rows in order: no copy
        return self.data[torch.from_numpy(rows)].to(self.backbone.device)

    def bytes_when_full(self) -> int:
        """Memory the states of every row of the text table take."""
        count = len(self.texts) if self.level == "pooled" else int(self.texts.offsets[-1])
        return count * self.data[:0].new_empty((1, *self.data.shape[1:])).nbytes
