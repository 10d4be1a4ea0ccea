"""Vectors of texts that come with layers, for tests of what reads these."""

import numpy as np


class Layers:
    """By text row, vectors (V, D) and what the layers below them say (V, F)."""

    def __init__(self, held, below):
        self.held, self.below, self.columns, self.asked = held, below, held.shape[1] + below.shape[1], []

    def __call__(self, rows):
        return self.held[rows]

    def of_layers(self, rows):
        return np.concatenate([self.below[rows], self.held[rows]], 1)

    def have_layers(self, rows):
        self.asked.append(len(rows))


def noise(like):
    """Vectors that know nothing of a text."""
    return np.random.default_rng(5).normal(size=like.shape).astype(np.float32)
