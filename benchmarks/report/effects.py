"""The page of the study `effects`."""

from typing import Any

import numpy as np

from benchmarks.report.formats import page, table
from benchmarks.studies.effects import ROWS, SHOWN


def effects_page(result: dict[str, Any]) -> str:
    """Means over seeds of every row, the metrics with their spread."""
    names = list(result["rows"][next(iter(ROWS))][0])
    lines = []
    for row, runs in result["rows"].items():
        cells = [row]
        for name in names:
            values = [run[name] for run in runs]
            digits = 4 if name in SHOWN else 3 if name == "texts an example" else 0
            spread = f" ({min(values):.4f} to {max(values):.4f})" if name in SHOWN else ""
            cells.append(f"{np.mean(values):,.{digits}f}{spread}")
        lines.append(cells)
    return page(
        "What two shortcuts cost",
        f"`python -m benchmarks effects --seeds {result['seeds']}`: means over {result['seeds']} seeds, in brackets the"
        " smallest and the largest; validation split.",
        table(["", *names], lines),
    )
