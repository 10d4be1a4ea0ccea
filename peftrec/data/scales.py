"""The scale that numbers are learnt on: as they are, or by their order of magnitude where a few are far larger."""

import numpy as np

# The standard deviation over the mean distance from the median, above which tails are heavy: 1.25 of a normal
# distribution, 1.44 of an exponential one, 1.9 of a lognormal one of spread 1. A few numbers then outweigh the others.
HEAVY = 1.75


def to_log(values: np.ndarray | float) -> np.ndarray:
    """log1p of the size, with the sign: near 0 as it is, far out by orders of magnitude; float64."""
    values = np.asarray(values, np.float64)
    return np.sign(values) * np.log1p(np.abs(values))


def from_log(values: np.ndarray | float) -> np.ndarray:
    """The numbers that `to_log` makes these of."""
    values = np.asarray(values, np.float64)
    return np.sign(values) * np.expm1(np.abs(values))


def heavy_tails(values: np.ndarray) -> bool:
    """Whether a few of the numbers (N,) are far larger than the others."""
    values = values.astype(np.float64)
    distance = np.abs(values - np.median(values)).mean() if len(values) else 0.0
    return bool(values.std() > HEAVY * distance) if distance else False
