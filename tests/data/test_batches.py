"""The planner: buckets under a token budget, streams of rows, positions among unique texts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.batches import UniqueRows, buckets
from peftrec.data.examples import Examples
from peftrec.data.log import Log
from peftrec.training.order import RowStream


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 2000))
def test_buckets_hold_every_text_once_within_the_budget(lengths, budget):
    lengths = np.array(lengths)
    groups = buckets(lengths, budget)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * lengths[group].max() <= budget


def test_no_texts_no_buckets():
    assert buckets(np.zeros(0, int), 100) == []


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


def test_positions_point_at_the_texts_that_examples_refer_to():
    log = Log(
        rows=np.array([7, 3, 9, 3], np.int32),
        items=np.arange(4, dtype=np.int32),
        times=np.arange(4.0),
        user_start=np.array([0, 4]),
        feedback=np.array([1, 0, 1, 0], np.float32),
    )
    n = 3
    examples = Examples(
        slots={"item": np.array([5, 3, 5], np.int32)},
        label=np.zeros(n, np.float32),
        features=np.zeros((n, 0), np.float32),
        group=np.zeros(n, np.int64),
        item=np.zeros(n, np.int64),
        time=np.zeros(n),
        log=log,
        start=np.array([0, 0, 1]),
        stop=np.array([0, 2, 4]),
    )
    unique = UniqueRows({"t": examples}, 12)
    assert unique.rows.tolist() == [3, 5, 7, 9]
    assert unique.references == 3 + 5
    import torch

    batch = unique.head_input("t", examples, torch.zeros(4, 2))
    assert unique.rows[batch.slots["item"]].tolist() == [5, 3, 5]
    assert batch.history.tolist() == [[-1, -1, -1], [-1, 2, 0], [0, 3, 0]]
    assert batch.feedback.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(0, 3))
def test_rows_of_a_group_follow_each_other(groups, seed):
    group = np.array(groups)
    stream = RowStream(len(group), len(group), 1, seed, task=0, group=group)
    order = stream.step(0)
    assert sorted(order.tolist()) == list(range(len(group)))
    met = group[order]
    assert 1 + (met[1:] != met[:-1]).sum() == len(np.unique(group))
