"""The order of a task's rows: even, a permutation a pass, without memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import cut_after, kept_recipe, make_tiny_shop, trained_files

from peftrec.training.loop import train
from peftrec.training.order import RowStream, make_streams
from peftrec.training.prepare import prepare

pytestmark = pytest.mark.usefixtures("quick")


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


def test_with_a_temperature_too_what_was_interrupted_ends_in_the_same_bytes(tmp_path):
    folder = make_tiny_shop(tmp_path)
    recipe = kept_recipe(folder, sampling={"temperature": 0}, adapter={"method": "side"}, train={"epochs": 2})
    setup = prepare(recipe)
    streams, steps, total = make_streams(recipe, setup.config, setup.dataset)
    rows = {name: len(of.train) for name, of in setup.dataset.tasks.items()}
    each = round(sum(rows.values()) / 2)
    assert total == 2 * steps == 2 * -(-2 * each // 32)
    assert {name: stream.rows_until(total) for name, stream in streams.items()} == dict.fromkeys(rows, 2 * each)
    whole = train(recipe, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, cut_after(patch, 4):
        train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    assert trained_files(tmp_path / "run") == trained_files(whole)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(0, 3))
def test_rows_of_a_group_follow_each_other(groups, seed):
    group = np.array(groups)
    stream = RowStream(len(group), len(group), 1, seed, task=0, group=group)
    order = stream.step(0)
    assert sorted(order.tolist()) == list(range(len(group)))
    met = group[order]
    assert 1 + (met[1:] != met[:-1]).sum() == len(np.unique(group))
