"""What models beside the heads read, against loops."""

import numpy as np
from eventful import build, make, timeline, two_tables
from hypothesis import given
from hypothesis import strategies as st

from peftrec.recipe import TaskConfig
from peftrec.tasks import columns as module
from peftrec.tasks.columns import HISTORY, columns, median_of_each

NAN = float("nan")


@given(st.lists(st.lists(st.one_of(st.just(NAN), st.floats(-9, 9)), min_size=3, max_size=3), min_size=1, max_size=9))
def test_the_median_of_each_row_is_that_of_what_is_there(rows):
    right = [np.median([of for of in row if of == of]) if any(of == of for of in row) else 0 for row in rows]
    np.testing.assert_allclose(median_of_each(np.array(rows)), right)


def test_of_rows_without_places_there_is_none():
    assert median_of_each(np.zeros((3, 0))).tolist() == [0, 0, 0]


def test_histories_in_short_stand_before_rates():
    data = build("regression", make([*timeline(12), *timeline(9, user=1, start=30)]), column="rating", history=4)
    for rows in (data.train, data.valid, data.test):
        found, past = columns(rows), rows.history()
        assert found.shape == (len(rows), len(HISTORY) + 4)
        np.testing.assert_array_equal(found[:, len(HISTORY) :], rows.inputs())
        for row, own in enumerate(found[:, : len(HISTORY)]):
            said = past.feedback[row][past.rows[row] >= 0]
            right = [np.median(said), said.mean(), said[-1], len(said)] if len(said) else [0, 0, 0, 0]
            np.testing.assert_allclose(own, right, rtol=1e-6)


def test_of_several_tables_the_task_s_own_alone_is_told():
    config = TaskConfig(kind="regression", column="rating")
    _, dataset = two_tables(config=config)
    data, between = dataset.tasks["task"], 0
    for rows in (data.train, data.valid, data.test):
        past, found = rows.history(), columns(rows)[:, : len(HISTORY)]
        for row, own in enumerate(found):
            said = past.feedback[row][(past.rows[row] >= 0) & (past.marks[row] == 0)]
            right = [np.median(said), said.mean(), said[-1], len(said)] if len(said) else [0, 0, 0, 0]
            np.testing.assert_allclose(own, right, rtol=1e-6)
            between += len(said) > 0 and past.marks[row][-1] == 1  # the newest event is of the other table
    assert between > 20


def test_many_rows_are_looked_at_in_parts(monkeypatch):
    rows = build("regression", make(timeline(40)), column="rating", history=4).train
    whole = columns(rows)
    monkeypatch.setattr(module, "PLACES", 64)  # two rows
    np.testing.assert_array_equal(columns(rows), whole)


def test_there_may_be_no_rows():
    data = build("regression", make(timeline(12)), column="rating")
    assert columns(data.test.take(np.arange(0))).shape == (0, len(HISTORY) + 4)
