"""Whether `peftrec affinity` foretells what full trainings come to: a rank correlation over learning curves' cells."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from peftrec.evaluation.intervals import LEVEL
from peftrec.evaluation.metrics import is_higher

RESAMPLES = 2000


def foretold(pairs: dict[str, Any]) -> dict[str, Any] | None:
    """{"cells": [{"pair", "size", "forecast", "found"}], "correlation", "interval"} of a method's pairs; None with
    fewer than three cells that have a forecast.

    forecast     the other task's effect on the target by short trainings, a share of the target's loss
    found        what learning together came to, by the pair's first metric: a share of the loss alone, or of what a
                 metric of which more is better lacked alone. What data the target reads is the same in both
    correlation  Spearman's, and its 95 % interval over resampled cells
    """
    cells = [
        {"pair": name, "size": int(size), "forecast": cell["forecast"], "found": _co_trained(metric, cell)}
        for name, of in pairs.items()
        for metric in list(of["metrics"])[:1]
        for size, cell in of["metrics"][metric].items()
        if cell["forecast"] is not None
    ]
    if len(cells) < 3:
        return None
    both = np.array([(cell["forecast"], cell["found"]) for cell in cells])
    random = np.random.default_rng(0)
    again = [_correlation(both[random.integers(len(both), size=len(both))]) for _ in range(RESAMPLES)]
    ends = [float(end) for end in np.nanpercentile(again, LEVEL)]
    return {"cells": cells, "correlation": _correlation(both), "interval": ends}


def _co_trained(metric: str, cell: dict[str, Any]) -> float:
    """What learning together gained over what reads the same data."""
    arms = cell["arms"]
    gain = arms["co-training" if "co-training" in arms else "together"]["gain"]
    return share(metric, gain, arms["reading"]["value"] if "reading" in arms else cell["alone"])


def share(metric: str, gain: float, base: float) -> float:
    """A gain over a loss as a share of it, and over what is better where it is more as a share of what that lacks."""
    return float(gain / (1 - base if is_higher(metric) else base))


def _correlation(both: np.ndarray) -> float:
    """Of two columns (N, 2); NaN where one is constant."""
    if (both == both[0]).all(0).any():
        return float("nan")
    return float(spearmanr(*both.T).statistic)
