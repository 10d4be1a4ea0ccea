"""The event log: sums of what users said, over windows."""

import numpy as np

from peftrec.data.log import Log


def test_differences_of_the_sums_are_sums_over_windows():
    feedback = np.array([1, 0, 1, 1, 0.5], np.float32)
    log = Log(np.arange(5, dtype=np.int32), np.arange(5), np.arange(5.0), np.array([0, 3, 5]), feedback)
    assert log.sums.tolist() == [0, 1, 1, 2, 3, 3.5]
    assert np.diff(log.sums[log.user_start]).tolist() == [2, 1.5]  # a user each


def test_sums_of_many_events_are_exact():
    many = Log(*[np.zeros(0)] * 3, np.zeros(1, np.int64), np.full(20_000_000, 1, np.float32))
    assert many.sums[-1] == 20_000_000  # which single precision cannot count to
