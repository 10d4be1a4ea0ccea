"""What the other tables of a history say of a row, where there are several: of whom, and of what, the task's own table
knows little, they may know much.

    everywhere  log1p of how many events of all tables the user had before the row
    elsewhere   the log of the item's share of the events of the other tables before the row: how popular it was there
"""

import numpy as np

from peftrec.data.examples import Examples

COLUMNS = ("everywhere", "elsewhere")


def are_several(rows: Examples) -> bool:
    """Whether the histories of the rows are of several tables."""
    return rows.rates is not None and rows.rates.others is not None


def of_others(rows: Examples) -> np.ndarray:
    """COLUMNS of rows whose histories are of several tables, float64 (N, 2)."""
    assert rows.rates is not None and rows.rates.others is not None
    return np.stack([np.log1p(rows.met_count()), rows.rates.others.share(rows.item, rows.time)], 1)
