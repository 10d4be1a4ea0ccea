"""What users did before: windows of a log as matrices."""

from dataclasses import dataclass

import numpy as np

from peftrec.data.log import Log


@dataclass(frozen=True)
class History:
    """What the users of some rows did before, oldest first.

    rows      int32 (N, H): text rows, -1 where absent
    feedback  float32 (N, H): what the user said about each; 0 where absent
    ages      float32 (N, H): log1p of the seconds from each to its row; 0 where absent or no times are known
    marks     int64 (N, H): which of the task's history tables each is of; None: there is one
    """

    rows: np.ndarray
    feedback: np.ndarray
    ages: np.ndarray
    marks: np.ndarray | None


def histories(
    log: Log, start: np.ndarray, stop: np.ndarray, time: np.ndarray, own: np.ndarray | None = None
) -> History:
    """The windows log[start:stop] (N,) of rows at `time` (N,) without the events `own` (N,), absent places on the left;
    H is the longest."""
    width = int((stop - start).max(initial=0))
    index = stop[:, None] - np.arange(width, 0, -1)[None]  # (N, H)
    present = index >= start[:, None]
    if own is not None:
        present &= index != own[:, None]
    index = np.where(present, index, 0)
    return History(
        rows=np.where(present, log.rows[index], -1).astype(np.int32),
        feedback=np.where(present, log.feedback[index], 0).astype(np.float32),
        ages=_ages(log.times[index], present, time),
        marks=None if log.marks is None else np.where(present, log.marks[index], 0).astype(np.int64),
    )


def _ages(times: np.ndarray, present: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """See `History`, of events at `times` (N, H), oldest first, and rows at `asked` (N,), or at the newest event where
    that is unknown (NaN) or earlier. An event of an unknown time (-inf) is as old as the oldest of a known one."""
    if not times.shape[1]:
        return np.zeros(times.shape, np.float32)
    known = present & np.isfinite(times)
    ages = np.where(known, np.fmax(asked, times[:, -1])[:, None] - np.where(known, times, 0), 0)
    ages = np.maximum.accumulate(ages[:, ::-1], 1)[:, ::-1]  # an unknown one takes the oldest of those that follow
    return np.log1p(np.where(present, ages, 0)).astype(np.float32)
