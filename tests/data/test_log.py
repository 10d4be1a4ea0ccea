"""The event log: sums of what users said, over windows."""

import numpy as np

from peftrec.data.log import Log


def test_differences_of_the_sums_are_sums_over_windows():
    feedback = np.array([1, 0, 1, 1, 0.5], np.float32)
    log = Log(np.arange(5, dtype=np.int32), np.arange(5), np.arange(5.0), np.array([0, 3, 5]), feedback)
    assert log.sums.tolist() == [0, 1, 1, 2, 3, 3.5]
    assert np.diff(log.sums[log.user_start]).tolist() == [2, 1.5]  # a user each


def test_sums_are_exact_beyond_what_single_precision_counts_to():
    log = Log(*[np.zeros(0)] * 3, np.zeros(1, np.int64), np.array([2**24, 1, 1], np.float32))
    assert log.sums[-1] == 2**24 + 2
