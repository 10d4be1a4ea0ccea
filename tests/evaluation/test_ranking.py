"""Ranks and log-probabilities of single rows against scipy's; whole catalogues are ranked in test_evaluate.py."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import rankdata

from peftrec.errors import Diverged
from peftrec.evaluation.ranking import _standing, apart, finite

RANDOM = np.random.default_rng(0)


def test_ties_count_half_and_what_was_met_is_no_candidate():
    scores = RANDOM.integers(0, 4, (30, 9)).astype(float)
    item, met = RANDOM.integers(0, 9, 30), RANDOM.random((30, 9)) < 0.3
    met[np.arange(30), item] = False
    found = _standing(scores, item, np.nonzero(met))
    for n in range(30):
        left = np.flatnonzero(~met[n])
        own = int(np.flatnonzero(left == item[n])[0])
        assert found[n, 0] == rankdata(-scores[n, left])[own]
        assert found[n, 1] == pytest.approx(log_softmax(scores[n, left])[own])
    assert np.array_equal(_standing(scores, item, None)[:, 0], rankdata(-scores, axis=1)[np.arange(30), item])


def test_predictions_that_are_no_numbers_are_refused():
    assert finite(np.array([1.0, -2.0]), "t").tolist() == [1, -2]
    with pytest.raises(Diverged, match="task 't': 2 of 3 predictions are not finite"):
        finite(np.array([1.0, np.nan, np.inf]), "t")


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
