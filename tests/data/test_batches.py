"""The planner: buckets under a token budget, positions among unique texts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.batches import UniqueRows, buckets
from peftrec.data.examples import Examples
from peftrec.data.log import Log


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 2000))
def test_buckets_hold_every_text_once_within_the_budget(lengths, budget):
    lengths = np.array(lengths)
    groups = buckets(lengths, budget)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * lengths[group].max() <= budget


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 2000), st.integers(0, 500))
def test_a_group_is_cut_where_that_saves_more_padding_than_it_is_worth(lengths, budget, apart):
    lengths = np.array(lengths)
    groups, few = buckets(lengths, budget, apart), buckets(lengths, budget)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert padded(lengths, few) - padded(lengths, groups) >= (apart + 1) * (len(groups) - len(few))
    for group in groups:
        assert len(group) == 1 or len(group) * lengths[group].max() <= budget
        ordered = np.sort(lengths[group])[::-1]
        cuts = [[np.arange(at), np.arange(at, len(group))] for at in range(1, len(group))]
        assert all(padded(ordered, [np.arange(len(group))]) - padded(ordered, cut) <= apart for cut in cuts)


def padded(lengths, groups):
    """Tokens with padding."""
    return sum(len(group) * int(lengths[group].max()) for group in groups)


def test_no_texts_no_buckets():
    assert buckets(np.zeros(0, int), 100) == []


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
