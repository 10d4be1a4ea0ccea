"""The scale that numbers are learnt on: as they are, or by their order of magnitude where a few are far larger; and
whether they are of few levels, such as stars."""

import numpy as np

# The standard deviation over the mean distance from the median, above which tails are heavy: 1.25 of a normal
# distribution, 1.44 of an exponential one, 1.9 of a lognormal one of spread 1. A few numbers then outweigh the others.
HEAVY = 1.75

LEVELS = 20  # different numbers at most that count as levels,
EACH = 5  # where as many rows as this have each, in the mean: a few prices that never come twice are none
PULL = 0.9  # of the way to the nearest level


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


def levels_of(values: np.ndarray) -> tuple[float, ...]:
    """The few different numbers that all labels (N,) are of, ascending; none where there are many."""
    found = np.unique(values.astype(np.float64))
    return tuple(found.tolist()) if 1 < len(found) <= min(LEVELS, len(values) // EACH) else ()


def pulled(numbers: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Numbers (N,) drawn near the nearest of the levels (two or more), in the same order; as they are without levels.

    The median of labels that are all of few levels is one of these, so that a number between two of them is further
    from most labels than the nearer one is.
    """
    if not levels:
        return numbers
    return _scaled(numbers, levels, 1 - PULL)


def released(numbers: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Numbers (N,) as they were before they were `pulled` to these levels, float64."""
    return _scaled(np.asarray(numbers, np.float64), levels, 1 / (1 - PULL)) if levels else numbers


def _scaled(numbers: np.ndarray, levels: tuple[float, ...], factor: float) -> np.ndarray:
    """Numbers (N,) so many times as far from the nearest level."""
    given = np.array(levels)
    near = given[np.searchsorted((given[1:] + given[:-1]) / 2, numbers)]
    found: np.ndarray = near + factor * (numbers - near)
    return found
