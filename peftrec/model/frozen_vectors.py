"""What the frozen backbone says of texts with no method on it, as priors and starts ask for it."""

import numpy as np

from peftrec.machine.progress import track_rows
from peftrec.model.encoder import AdaptedEncoder


class FrozenVectors:
    """An encoder's vectors of text rows int (N,), float32 (N, D), and its layers'; computing many shows its progress.

    columns  how many numbers `of_layers` gives of a text
    """

    def __init__(self, encoder: AdaptedEncoder) -> None:
        self._encoder = encoder
        self.columns = len(encoder.upper_layers) * encoder.backbone.hidden_size

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """As `AdaptedEncoder.frozen_vectors`."""
        return self._encoder.frozen_vectors(rows, track_rows)

    def of_layers(self, rows: np.ndarray) -> np.ndarray:
        """As `AdaptedEncoder.frozen_layers`, float32 (N, columns)."""
        return self._encoder.frozen_layers(rows, track_rows)

    def have_layers(self, rows: np.ndarray) -> None:
        """Have that computed and kept, so that blocks of rows may be asked for."""
        self._encoder.keep_layers(rows, track_rows)
