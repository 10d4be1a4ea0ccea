"""The order of a task's rows: even, a permutation a pass, without memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftrec.training.order import RowStream


@given(st.integers(1, 500), st.floats(0.1, 3), st.integers(1, 40), st.integers(0, 5))
def test_a_stream_gives_its_rows_evenly_and_every_pass_is_a_permutation(rows, share, steps, seed):
    per_epoch = max(1, round(rows * share))
    stream = RowStream(rows, per_epoch, steps, seed, task=1)
    epochs = 3
    given_rows = [stream.step(n) for n in range(epochs * steps)]
    sizes = [len(r) for r in given_rows]
    assert sum(sizes) == epochs * per_epoch == stream.rows_until(epochs * steps)
    assert max(sizes) - min(sizes) <= 1
    everything = np.concatenate(given_rows)
    for start in range(0, len(everything) - rows + 1, rows):
        assert sorted(everything[start : start + rows].tolist()) == list(range(rows))


@given(st.integers(2, 200), st.integers(1, 20), st.integers(0, 59))
def test_a_stream_has_no_memory(rows, steps, at):
    asked_in_order = [RowStream(rows, rows, steps, 7, task=0).step(n) for n in range(60)]
    fresh = RowStream(rows, rows, steps, 7, task=0)
    np.testing.assert_array_equal(fresh.step(at), asked_in_order[at])


def test_tasks_seeds_and_passes_have_orders_of_their_own():
    orders = [RowStream(50, 50, 1, seed, task).step(n).tolist() for seed in (0, 1) for task in (0, 1) for n in (0, 1)]
    assert len({tuple(order) for order in orders}) == 8


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(0, 3))
def test_rows_of_a_group_follow_each_other(groups, seed):
    group = np.array(groups)
    stream = RowStream(len(group), len(group), 1, seed, task=0, group=group)
    order = stream.step(0)
    assert sorted(order.tolist()) == list(range(len(group)))
    met = group[order]
    assert 1 + (met[1:] != met[:-1]).sum() == len(np.unique(group))
