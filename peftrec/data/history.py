"""What users did before: windows of a log as matrices."""

from dataclasses import dataclass

import numpy as np

from peftrec.data.log import Log


@dataclass(frozen=True)
class History:
    """What the users of some rows did before, oldest first.

    rows      int32 (N, H): text rows, -1 where absent
    feedback  float32 (N, H): what the user said about each; 0 where absent
    marks     int64 (N, H): which of the task's history tables each is of; None: there is one
    """

    rows: np.ndarray
    feedback: np.ndarray
    marks: np.ndarray | None


def histories(log: Log, start: np.ndarray, stop: np.ndarray, own: np.ndarray | None = None) -> History:
    """The windows log[start:stop] (N,) without the events `own` (N,), absent places on the left; H is the longest."""
    width = int((stop - start).max(initial=0))
    index = stop[:, None] - np.arange(width, 0, -1)[None]  # (N, H)
    present = index >= start[:, None]
    if own is not None:
        present &= index != own[:, None]
    index = np.where(present, index, 0)
    return History(
        rows=np.where(present, log.rows[index], -1).astype(np.int32),
        feedback=np.where(present, log.feedback[index], 0).astype(np.float32),
        marks=None if log.marks is None else np.where(present, log.marks[index], 0).astype(np.int64),
    )
