"""Vectors of length 1, whose inner products are cosines."""

import numpy as np


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """The rows (N, D) brought to length 1, one of zeros left as it is, in their own dtype."""
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
