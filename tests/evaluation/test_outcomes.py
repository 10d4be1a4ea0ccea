"""Outcomes on disk: what a run predicted comes back as it was, row by row."""

from dataclasses import replace

import numpy as np
import pytest

from peftrec.errors import UserError
from peftrec.evaluation.outcomes import Outcome, read_outcome, write_outcomes


def made(classes=None):
    shape = 3 if classes is None else (3, classes)
    prediction = np.random.default_rng(0).random(shape, np.float32)
    ids = np.array(["u1", "u2", "u1"], object), np.array(["i1", "", "é"], object)
    return Outcome(*ids, np.array([1.5, np.nan, 3.0]), np.array([0, 1, 1]), prediction)


@pytest.mark.parametrize("classes", [None, 2])
@pytest.mark.parametrize("ranked", [False, True])
def test_what_is_written_is_read_back(tmp_path, classes, ranked):
    given = made(classes)
    if ranked:
        given = replace(given, ranked=np.array(["u1", "u2"], object), rank=np.array([1.0, 2.5]))
    write_outcomes(tmp_path, {"query": given})
    found = read_outcome(tmp_path, "query")
    assert found.same_rows(given)
    np.testing.assert_array_equal(found.prediction, given.prediction)
    assert found.prediction.dtype == np.float32
    if ranked:
        assert found.ranked.tolist() == ["u1", "u2"] and found.rank.tolist() == [1.0, 2.5]
    else:
        assert found.rank is None


def test_several_labels_a_row_come_back(tmp_path):
    given = replace(made(2), label=np.array([[0, 1], [1, 1], [0, 0]], np.float32))
    write_outcomes(tmp_path, {"tags": given})
    found = read_outcome(tmp_path, "tags")
    assert found.same_rows(given) and found.label.dtype == np.float32
    assert not found.same_rows(replace(given, label=given.label[:, ::-1]))


@pytest.mark.parametrize(
    "change",
    [{"group": np.array(["u1", "u2", "u2"], object)}, {"label": np.array([0, 1, 0])}, {"time": np.arange(3.0)}],
)
def test_other_rows_are_not_the_same(change):
    assert made().same_rows(made())  # a time that is missing equals itself
    assert not made().same_rows(replace(made(), **change))


def test_a_run_that_kept_none_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"query\.parquet: missing: .*train it again"):
        read_outcome(tmp_path, "query")
