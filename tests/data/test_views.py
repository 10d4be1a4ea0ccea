"""Columns that are made when rows are taken of them do what arrays do."""

import numpy as np
import pytest

from peftrec.data.views import Gathered, WindowStart

VALUES, INDEX = np.array([10.0, 20.0, 30.0]), np.array([2, 0, 2, 1], np.int32)


def test_rows_are_gathered_when_they_are_taken():
    column = Gathered(VALUES, INDEX)
    assert len(column) == 4 and column.shape == (4,) and column.dtype == np.float64
    assert column[1] == 10 and column[1:3].tolist() == [10, 30] and column[np.array([3, 3])].tolist() == [20, 20]
    assert column[np.array([True, False, False, True])].tolist() == [30, 20]
    changing = VALUES.copy()
    later = Gathered(changing, INDEX)
    changing[2] = 5
    assert later[0] == 5  # nothing was copied


def test_to_numpy_it_is_an_array():
    column = Gathered(VALUES, INDEX)
    assert (column + 1).tolist() == [31, 11, 31, 21] and (1 - column).tolist() == [-29, -9, -29, -19]
    assert (column == 30).tolist() == [True, False, True, False] and column.mean() == 22.5
    assert np.concatenate([column, [1.0]]).tolist() == [30, 10, 30, 20, 1]
    assert np.arange(40)[Gathered(VALUES.astype(int), INDEX)].tolist() == [30, 10, 30, 20]
    assert np.array_equal(column, np.asarray(column)) and np.asarray(column, np.int32).dtype == np.int32
    with pytest.raises(AttributeError):
        column.no_such_thing  # noqa: B018


def test_columns_of_columns():
    matrix = Gathered(np.arange(6).reshape(3, 2), INDEX)
    assert matrix.shape == (4, 2) and matrix[:2, 1].tolist() == [5, 1]
    assert Gathered(matrix, np.array([3]))[0].tolist() == [2, 3]


def test_a_window_begins_with_the_user_or_so_many_before_its_end():
    users, stop = np.array([0, 0, 1, 1, 1], np.int32), np.array([0, 1, 2, 3, 4], np.int32)
    begin = WindowStart(np.array([0, 2, 5]), users, stop, most=1)
    assert np.asarray(begin).tolist() == [0, 0, 2, 2, 3] and begin[np.array([4, 1])].tolist() == [3, 0]
