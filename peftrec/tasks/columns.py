"""What models beside the heads read of examples of events: numbers, one row an example."""

import numpy as np

from peftrec.data.examples import Examples

HISTORY = ("median", "mean", "newest", "count")  # of the feedback that a history tells, first of all columns
PLACES = 1 << 21  # of histories, which are looked at together


def columns(rows: Examples) -> np.ndarray:
    """What histories say in short (HISTORY, 0 without one), features and rates, the features of item, user and event.

    float32 (N, F).
    """
    longest = 1 if rows.start is None or rows.stop is None else int((rows.stop - rows.start).max(initial=1))
    blocks = [_columns(block) for block in rows.blocks(max(1, PLACES // max(32, longest)))]
    return np.concatenate(blocks) if blocks else _columns(rows)


def _columns(rows: Examples) -> np.ndarray:
    found = []
    if rows.log is not None:
        past = rows.history()
        told = rows.told(past)
        said, count = np.where(told, past.feedback, np.nan), told.sum(1)  # (N, H), (N,)
        mean = np.nansum(said, 1) / count.clip(1)
        newest = np.zeros(len(rows))
        if said.shape[1]:
            last = said.shape[1] - 1 - told[:, ::-1].argmax(1)
            newest = np.nan_to_num(said[np.arange(len(rows)), last])
        found.append(np.stack([median_of_each(said), mean, newest, count], 1))
    found.append(rows.inputs())
    found += [of for of in (rows.features_of_item(), rows.features_of_asker()) if of is not None]
    return np.concatenate(found, 1).astype(np.float32)


def median_of_each(values: np.ndarray) -> np.ndarray:
    """The median of each row of (N, K) without its NaN, 0 of none, (N,)."""
    count = (~np.isnan(values)).sum(1)
    ordered = np.sort(np.concatenate([values, np.zeros((len(values), 1))], 1) if not values.shape[1] else values, 1)
    rows = np.arange(len(values))
    middle = (ordered[rows, (count - 1).clip(0) // 2] + ordered[rows, (count // 2).clip(max=ordered.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, 0)
