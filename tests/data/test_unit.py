"""Vectors of length 1."""

import numpy as np
import pytest

from peftrec.data.unit import of_length_one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_get_length_one_and_keep_their_direction(dtype):
    vectors = np.array([[3, 4], [0, -0.5], [0, 0]], dtype)
    unit = of_length_one(vectors)
    assert unit.dtype == dtype and unit == pytest.approx(np.array([[0.6, 0.8], [0, -1], [0, 0]]))
    assert of_length_one(vectors[:0]).shape == (0, 2)
