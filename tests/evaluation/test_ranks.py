"""Ranks in a catalogue, and those of repeats and of new items apart."""

import numpy as np
import pytest

from peftrec.evaluation.ranks import apart, standing


def test_a_rank_is_among_what_was_not_met_and_ties_count_half():
    scores = np.array([[5.0, 3.0, 3.0, 1.0], [5.0, 3.0, 3.0, 1.0]])
    every = standing(scores, np.array([1, 3]), None)
    assert every[:, 0].tolist() == [2.5, 4]
    without = standing(scores, np.array([1, 3]), (np.array([0, 1, 1]), np.array([0, 1, 2])))
    assert without[:, 0].tolist() == [1.5, 2]
    chances = np.exp([3.0, 3.0, 1.0])
    assert without[0, 1] == pytest.approx(np.log(chances[0] / chances.sum()))
    assert (scores == [[5, 3, 3, 1]] * 2).all()  # as they were


def test_repeats_and_new_items_have_their_own_means():
    found = {
        "model": np.array([[1, -1.0], [11, -1], [2, -1]]),
        "popularity": np.array([[20, -1.0], [1, -1], [3, -1]]),
    }
    parts = apart(found, np.array([True, True, False]))
    assert parts["repeats"]["n"] == 2 and parts["new"]["n"] == 1
    assert parts["repeats"]["metrics"] == {"hr@10": 0.5, "ndcg@10": 0.5, "mrr@10": 0.5}
    assert parts["new"]["metrics"] == pytest.approx({"hr@10": 1, "ndcg@10": 1 / np.log2(3), "mrr@10": 0.5})
    assert parts["repeats"]["priors"] == {"popularity": {"hr@10": 0.5, "ndcg@10": 0.5, "mrr@10": 0.5}}
    assert "new" not in apart(found, np.ones(3, bool))
