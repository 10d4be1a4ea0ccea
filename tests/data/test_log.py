"""The event log: sums of what users said, over windows."""

import numpy as np

from peftrec.data.log import Log, places_between, running


def test_differences_of_the_sums_are_sums_over_windows():
    feedback = np.array([1, 0, 1, 1, 0.5], np.float32)
    log = Log(np.arange(5, dtype=np.int32), np.arange(5), np.arange(5.0), np.array([0, 3, 5]), feedback)
    assert log.sums.tolist() == [0, 1, 1, 2, 3, 3.5]
    assert np.diff(log.sums[log.user_start]).tolist() == [2, 1.5]  # a user each


def test_of_liked_or_not_sums_are_whole_numbers():
    sums = running(np.array([True, False, True]))
    assert sums.tolist() == [0, 1, 1, 2] and sums.dtype == np.int32


def test_the_first_place_that_is_not_before_is_looked_for_in_a_range():
    times = np.array([5.0, 7, 7, 9, 1, 2])
    low, high = np.array([0, 0, 0, 4, 4, 6, 0]), np.array([4, 4, 4, 6, 6, 6, 4])
    asked = np.array([7.0, 8, np.nan, 0, 2, 3, -1])
    assert places_between(times, low, high, asked).tolist() == [1, 3, 4, 4, 5, 6, 0]
    assert places_between(np.zeros(0), np.zeros(2, int), np.zeros(2, int), np.zeros(2)).tolist() == [0, 0]


def test_sums_are_exact_beyond_what_single_precision_counts_to():
    log = Log(*[np.zeros(0)] * 3, np.zeros(1, np.int64), np.array([2**24, 1, 1], np.float32))
    assert log.sums[-1] == 2**24 + 2
