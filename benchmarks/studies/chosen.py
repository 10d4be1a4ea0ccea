"""Which way of learning two tasks is chosen where it was tried on other fields: what one does who cannot try all.

Of a pair at a size the arm that gained most over alone, as a share of the loss, in the mean over the pairs of other
fields at that size and by each pair's first metric; `alone` where none gained. What it gains on the pair itself was
chosen by none of its rows.
"""

from typing import Any

import numpy as np

from benchmarks.studies.foretold import share

ARMS = ("begun", "together", "after")  # which every pair has


def choose(pairs: dict[str, Any]) -> None:
    """Add to the cells of all metrics an arm `chosen`: what that arm has, and its name as "arm". Sizes go by place: a
    pair's last one may be all rows that it has."""
    for pair in pairs.values():
        first = next(iter(pair["metrics"].values()))
        for place in range(len(first)):
            arm = _chosen(pairs, pair["field"], place)
            for metric in pair["metrics"].values():
                cell = [*metric.values()][place]
                level = {"value": cell["alone"], "gain": 0.0, "interval": [0.0, 0.0]}
                cell["arms"]["chosen"] = {**cell["arms"].get(arm, level), "arm": arm}


def _chosen(pairs: dict[str, Any], field: str, place: int) -> str:
    gains: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for pair in pairs.values():
        metric, cells = next(iter(pair["metrics"].items()))
        if pair["field"] != field and place < len(cells):
            cell = [*cells.values()][place]
            for arm, of in gains.items():
                of.append(share(metric, cell["arms"][arm]["gain"], cell["alone"]))
    mean = {"alone": 0.0} | {arm: float(np.mean(of)) for arm, of in gains.items() if of}
    return max(mean, key=lambda arm: mean[arm])
