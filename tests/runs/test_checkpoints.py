"""Checkpoints on disk: whole or not there, the newest ones kept. Those of a real training: training/test_resume.py."""

import pytest
import torch

from peftrec.errors import UserError
from peftrec.machine.files import partial
from peftrec.runs.checkpoints import checkpoint_folders, newest_checkpoint, read_checkpoint, step_of, write_checkpoint

VALUES = {"state": {"step": 3, "seen": [1, None]}}


def tensors(value=1.0):
    return {"adapters/shared": {"a": torch.full((2, 3), value)}, "optimizer": {"m/a": torch.zeros(2)}}


@pytest.fixture
def run(tmp_path):
    partial(tmp_path / "run").mkdir()
    (partial(tmp_path / "run") / "checkpoints").mkdir()
    return tmp_path / "run"


def write(run, step, keep=2, value=1.0):
    return write_checkpoint(run, step, tensors(value), VALUES, keep)


def test_what_is_written_is_read_back(run):
    assert newest_checkpoint(run) == (None, [])
    folder = write(run, 3, value=5.0)
    assert newest_checkpoint(run) == (folder, [])
    found, values = read_checkpoint(folder)
    assert values == VALUES
    assert found.keys() == tensors().keys()
    assert torch.equal(found["adapters/shared"]["a"], torch.full((2, 3), 5.0))


def test_the_newest_are_kept_in_the_order_of_their_steps(run):
    for step in (2, 9, 10, 100):
        write(run, step)
    assert [step_of(folder) for folder in checkpoint_folders(run)] == [10, 100]


def test_going_back_replaces_what_came_later(run):
    for step in (2, 4, 6):
        write(run, step, keep=5)
    write(run, 4, keep=5, value=7.0)
    assert [step_of(folder) for folder in checkpoint_folders(run)] == [2, 4]
    assert read_checkpoint(checkpoint_folders(run)[-1])[0]["adapters/shared"]["a"][0, 0] == 7.0


def test_a_damaged_one_is_skipped_and_said_and_all_damaged_is_refused(run):
    first, second = write(run, 2), write(run, 4)
    (second / "state.json").write_text("{}")
    used, skipped = newest_checkpoint(run)
    assert used == first
    assert len(skipped) == 1 and skipped[0].startswith(f"skipped the checkpoint of step 4: {second / 'state.json'}: ")
    (first / "optimizer.safetensors").unlink()
    with pytest.raises(UserError, match=r"step 4: (?s:.*)step 2: (?s:.*)no checkpoint of .* is intact; delete"):
        newest_checkpoint(run)


def test_what_a_killed_process_left_half_written_is_in_nobodys_way(run):
    half = partial(partial(run) / "checkpoints" / "step-000000003")
    half.mkdir()
    (half / "old.json").write_text("{}")
    assert newest_checkpoint(run) == (None, [])
    folder = write(run, 3)
    assert not half.exists() and not (folder / "old.json").exists()


def test_numbers_that_are_not_finite_are_not_written(run):
    with pytest.raises(UserError, match=r"step 3: adapters/shared: a holds numbers that are not finite"):
        write(run, 3, value=float("nan"))
    assert checkpoint_folders(run) == []
