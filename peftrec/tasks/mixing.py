"""How much each signal of a catalogue's items counts before anything else is learnt: a conditional logit.

The weights are those that make the chosen items likeliest among the others (McFadden 1974), on rows that nothing was
fitted to; where a signal makes the ranking of these rows worse for all that, it begins at 0.
"""

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.signals import SIGNALS, of_step

ROWS = 1024  # that weights are fitted to
FEW = 100  # validation rows below which train rows are taken, whose own choice no signal has seen
OTHERS = 1024  # items that the chosen one is told from in the fit; a sample of them changes nothing but the noise
RIDGE = 1e-3
STEPS, ENOUGH = 30, 1e-6  # of Newton's method at most, and the change of the loss that ends it
DOUBT = 1.0  # standard errors by which a ranking is better without a signal, for the signal to be left out
FOR = (0, 1, 2, 3, 5)  # signals that never speak against an item: else one that nobody ever chose would come first
TOGETHER = ([0], [1], [2], [3, 4], [5])  # signals that come and go together


def fit_weights(data: TaskData, seed: int = 0) -> np.ndarray:
    """The weight of each of SIGNALS, float32 (S,), by validation rows, or train rows where there are hardly any."""
    valid = data.valid if data.divided is None else data.divided[1]
    rows = (valid if len(valid) >= FEW else data.train).thinned(ROWS)
    weights = np.zeros(len(SIGNALS))
    weights[0] = 1
    if not len(rows):
        return weights.astype(np.float32)
    signals, barred = _signals(rows, seed)
    kept = [of for of in TOGETHER if signals[:, :, of].any()]
    best, ranked = _fit(signals, barred, kept)
    for group in kept:
        others = [of for of in kept if of is not group]
        if others:
            without, then = _fit(signals, barred, others)
            gain = then - ranked
            if gain.mean() > DOUBT * gain.std() / np.sqrt(len(gain)):
                best, ranked, kept = without, then, others
    return best.astype(np.float32)


def _signals(rows: Examples, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The signals of each row's own item and of candidates, float32 (N, 1 + C, S), and which are no alternatives to it,
    bool (N, 1 + C)."""
    drawn = rows.drawn(seed, 0, np.arange(len(rows)))
    parts = [drawn.take(some) for some in np.array_split(np.arange(len(rows)), -(-len(rows) // 128))]
    signals, barred = zip(*((of_step(part), part.barred()) for part in parts), strict=True)
    return np.concatenate(signals), np.pad(np.concatenate(barred), ((0, 0), (1, 0)))


def _fit(signals: np.ndarray, barred: np.ndarray, groups: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The weights (S,) of the likeliest choice by some groups of signals, and the nDCG@10 (N,) of the ranking by it."""
    used = [of for group in groups for of in group]
    every = max(1, (signals.shape[1] - 1) // OTHERS)
    columns = np.append(0, np.arange(1, signals.shape[1], every))
    some, out = signals[:, columns], barred[:, columns]
    weights = np.zeros(len(SIGNALS))
    while used:
        weights[:] = 0
        weights[used] = logit(some[:, :, used], out)
        against = [of for of in used if weights[of] < 0 and of in FOR]
        if not against:
            break
        used = [of for of in used if of not in against]
    scores = np.where(barred, -np.inf, signals @ weights.astype(np.float32))
    own = scores[:, :1]
    rank = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return weights, np.where(rank <= 10, 1 / np.log2(1 + rank), 0)


def logit(signals: np.ndarray, barred: np.ndarray) -> np.ndarray:
    """The weights float64 (S,) that make the first of each row's items likeliest among those not barred, with a ridge.

    `signals` (N, A, S), `barred` bool (N, A). Newton's method, each step halved until the loss falls.
    """
    centred = signals - signals[:, :1]
    spread = np.maximum(centred.std((0, 1), dtype=np.float64), 1e-6)
    centred /= spread.astype(np.float32)
    out = np.where(barred, -np.inf, 0).astype(np.float32)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        scores = centred @ at.astype(np.float32) + out
        top = scores.max(1, keepdims=True)
        chances = np.exp(scores - top)
        total = chances.sum(1, keepdims=True)
        value = (np.log(total) + top).mean(dtype=np.float64) + RIDGE * float(at @ at)
        return float(value), chances / total

    weights = np.zeros(signals.shape[2])
    value, chances = loss(weights)
    for _ in range(STEPS):
        mean = np.einsum("na,nas->ns", chances, centred)
        gradient = mean.mean(0, dtype=np.float64) + 2 * RIDGE * weights
        flat = centred.reshape(-1, centred.shape[2])
        square = flat.T @ (flat * chances.reshape(-1, 1)) / len(mean)
        curve = square - mean.T @ mean / len(mean) + 2 * RIDGE * np.eye(len(weights))
        step, size = np.linalg.solve(curve.astype(np.float64), gradient), 1.0
        then = loss(weights - step)
        while then[0] > value and size > 1e-4:
            size /= 2
            then = loss(weights - size * step)
        if then[0] > value - ENOUGH:
            break
        weights, (value, chances) = weights - size * step, then
    return weights / spread
