"""Approximate search finds most of the best."""

import numpy as np
import pytest

from peftrec.serving.index import ItemIndex


def test_an_index_finds_most_of_the_best_of_many():
    random = np.random.default_rng(0)
    centres = random.normal(size=(50, 16))
    items = centres[random.integers(0, 50, 20_000)] + 0.5 * random.normal(size=(20_000, 16))
    index, asks = ItemIndex(items), centres[:20] + 0.5 * random.normal(size=(20, 16))
    recall = []
    for asked in asks:
        numbers, scores = index.search(asked, 10)
        assert scores == pytest.approx(items[numbers] @ asked, rel=1e-4) and (np.diff(scores) <= 0).all()
        recall.append(len(set(numbers) & set(np.argsort(-(items @ asked))[:10])) / 10)
    assert np.mean(recall) > 0.8
