"""Histories as windows of a log."""

import numpy as np

from peftrec.data.history import histories
from peftrec.data.log import Log

LOG = Log(np.array([7, 8, 9, 5], np.int32), np.arange(4), np.arange(4.0), np.array([0, 3, 4]), np.array([1, 0, 1, 1.0]))


def test_histories_are_as_wide_as_the_longest_with_what_is_absent_on_the_left():
    start, stop = np.array([0, 0, 3]), np.array([2, 0, 4])
    past = histories(LOG, start, stop)
    assert past.rows.tolist() == [[7, 8], [-1, -1], [-1, 5]]
    assert past.feedback.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert histories(LOG, start[1:2], stop[1:2]).rows.shape == (1, 0)
    assert past.marks is None


def test_a_row_s_own_event_is_no_part_of_its_history():
    past = histories(LOG, np.array([0, 0]), np.array([3, 3]), np.array([1, -1]))
    assert past.rows.tolist() == [[7, -1, 9], [7, 8, 9]]
    assert past.feedback.tolist() == [[1, 0, 1], [1, 0, 1]]
