"""Histories as windows of a log."""

from dataclasses import replace

import numpy as np

from peftrec.data.history import histories
from peftrec.data.log import Log

LOG = Log(np.array([7, 8, 9, 5], np.int32), np.arange(4), np.arange(4.0), np.array([0, 3, 4]), np.array([1, 0, 1, 1.0]))


def test_histories_are_as_wide_as_the_longest_with_what_is_absent_on_the_left():
    start, stop, time = np.array([0, 0, 3]), np.array([2, 0, 4]), np.array([9.0, 9.0, 9.0])
    past = histories(LOG, start, stop, time)
    assert past.rows.tolist() == [[7, 8], [-1, -1], [-1, 5]]
    assert past.feedback.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert histories(LOG, start[1:2], stop[1:2], time[1:2]).rows.shape == (1, 0)
    assert past.marks is None


def test_a_row_s_own_event_is_no_part_of_its_history():
    past = histories(LOG, np.array([0, 0]), np.array([3, 3]), np.full(2, 9.0), np.array([1, -1]))
    assert past.rows.tolist() == [[7, -1, 9], [7, 8, 9]]
    assert past.feedback.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_ages_are_the_logs_of_seconds_up_to_the_row():
    past = histories(LOG, np.array([0, 0, 3]), np.array([3, 0, 4]), np.array([2.0, 5.0, 103.0]))
    np.testing.assert_allclose(past.ages, [np.log1p([2, 1, 0]), [0, 0, 0], [0, 0, np.log1p(100)]], rtol=1e-6)
    assert past.ages.dtype == np.float32


def test_a_row_is_asked_for_no_earlier_than_its_newest_event_and_what_has_none_is_as_old_as_the_oldest_known():
    log = replace(LOG, times=np.array([-np.inf, 10.0, 30.0, -np.inf]))
    past = histories(log, np.array([0, 0, 3]), np.array([3, 3, 4]), np.array([np.nan, 60.0, np.nan]))
    np.testing.assert_allclose(np.expm1(past.ages), [[20, 20, 0], [50, 50, 30], [0, 0, 0]], rtol=1e-5, atol=1e-5)
