"""How much signals count at the beginning: the likeliest weights, and none for what makes the ranking worse."""

import numpy as np
import pytest
from habits import habits, load
from scipy.optimize import minimize

from peftrec.data.signals import SIGNALS
from peftrec.tasks import mixing
from peftrec.tasks.mixing import fit_weights, logit


def drawn(weights, rows=400, items=12, seed=0):
    """Signals, of which the first of each row was chosen by a softmax of their weighted sum; some items are barred."""
    random = np.random.default_rng(seed)
    signals = random.normal(size=(rows, items, len(weights))) * [1.0, 5.0, 0.2][: len(weights)]
    scores = signals @ weights + random.gumbel(size=(rows, items))
    barred = np.zeros((rows, items), bool)
    barred[:, 3] = random.random(rows) < 0.5
    chosen = np.where(barred, -np.inf, scores).argmax(1)
    for row, of in enumerate(chosen):
        for table in (signals, barred):
            table[row, [0, of]] = table[row, [of, 0]]
    return signals.astype(np.float32), barred


def test_the_weights_are_the_likeliest():
    signals, barred = drawn([1.0, -0.3, 4.0])

    def loss(weights):
        scores = np.where(barred, -np.inf, signals @ weights)
        spread = (signals - signals[:, :1]).std((0, 1))
        penalty = mixing.RIDGE * float((weights * spread) @ (weights * spread))
        return float(np.mean(np.logaddexp.reduce(scores, axis=1) - scores[:, 0])) + penalty

    exact = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000})
    found = logit(signals, barred)
    assert found == pytest.approx(exact.x, rel=0.02, abs=0.01)
    assert found == pytest.approx([1.0, -0.3, 4.0], rel=0.3)  # by which they were drawn


def test_a_signal_that_says_nothing_breaks_nothing():
    signals, barred = drawn([1.0, -0.3, 4.0])
    signals[:, :, 1] = 7
    assert logit(signals, barred)[[0, 2]] == pytest.approx(logit(signals[:, :, [0, 2]], barred), abs=1e-3)


def test_popularity_never_speaks_against_an_item():
    """Where the rare are chosen, by these rows, an item that nobody ever chose would be the best of all."""
    signals, barred = drawn([-2.0, 0.3, 4.0])
    signals = np.concatenate([signals, np.zeros((*signals.shape[:2], len(SIGNALS) - 3), np.float32)], 2)
    assert logit(signals[:, :, :3], barred)[0] < -1
    weights, _ = mixing._fit(signals, barred, [[0], [1], [2]])
    assert weights[0] == 0 and weights[1:3] == pytest.approx(logit(signals[:, :, 1:3], barred))


def test_weights_are_of_the_signals_that_rank_better(shop, tmp_path):
    data = load(shop, habits(shop, tmp_path, 0.6)).tasks["next"]
    weights = fit_weights(data)
    assert weights.dtype == np.float32 and weights.shape == (len(SIGNALS),)
    assert weights[3:].sum() > 0.5  # six of ten choices are repeats


def test_without_rows_it_is_popularity(shop, tmp_path):
    data = load(shop, habits(shop, tmp_path, 0.0)).tasks["next"]
    none = data.train.take(np.zeros(0, np.int64))
    assert fit_weights(type(data)(none, none, none)).tolist() == [1, 0, 0, 0, 0, 0]
