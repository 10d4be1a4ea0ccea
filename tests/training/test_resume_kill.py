"""SIGKILL at any moment, also while a checkpoint is written: the training goes on to the same bytes."""

import os
import random
import signal
import sys

import pytest
import warm
from tiny import at_step, make_tiny_shop, train_tiny, trained_files

from peftrec.runs.checkpoints import checkpoint_folders, step_of
from peftrec.runs.folder import verify_run

KILLS = 20
TOUCHES = {"open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "shutil.rmtree"}
TOUCHES_OF_A_STEP = 55  # about what a checkpoint takes


def being_written(run):
    """The checkpoint that was being written when the process was killed, if any."""
    return next((run.parent / f".{run.name}.partial" / "checkpoints").glob(".step-*"), None)


def newest(run):
    return step_of(checkpoint_folders(run)[-1]) if checkpoint_folders(run) else 0


def die(touches, where=""):
    """Be killed before the files whose path holds `where` are touched once more, after so many times."""
    left = touches

    def hook(event, arguments):
        nonlocal left
        if event in TOUCHES and where in str(arguments[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def train_and_die(shop, run, step, touches, **how):
    """Train, and be killed: while it starts when `step` is None, else when that step, from 0, or a later one writes."""
    if step is None:
        die(touches)
        train_tiny(shop, run)
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, step, lambda: die(touches, f".{run.name}.partial"))
        train_tiny(shop, run, **how)


def test_killed_twenty_times_it_ends_in_the_same_bytes(tmp_path):
    chance, shop = random.Random(0), make_tiny_shop(tmp_path)
    whole, run = tmp_path / "whole", tmp_path / "run"
    reference = warm.process(train_tiny, shop, whole)
    reference.start()
    half_written, steps = 0, []
    for number in range(KILLS):
        step = None if number % 5 == 4 else newest(run) + chance.randint(0, 1)
        touches = chance.randrange(TOUCHES_OF_A_STEP)
        killed = warm.process(train_and_die, shop, run, step, touches)
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        half_written += being_written(run) is not None
        steps.append(newest(run))
    assert steps == sorted(steps)
    assert half_written >= 3
    last = warm.process(train_tiny, shop, run)
    last.start()
    for process in (reference, last):
        process.join()
        assert process.exitcode == 0
    for folder in (whole, run):
        verify_run(folder)
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["events.csv", "items.csv", "model", "queries.csv", run.name, whole.name]
    )
    expected, found = trained_files(whole), trained_files(run)
    # Of a task adapter, head, part and start; what is shared; and what came of the items.
    assert sum(name.endswith(".safetensors") for name in expected) == 2 * 4 + 2
    assert [name for name in expected if expected[name] != found.get(name)] == []


@pytest.mark.parametrize("threads", [2, 4])
def test_killed_with_several_threads_it_ends_in_the_same_bytes(tmp_path, threads):
    how, shop = {"threads": threads, "batch_size": 1024}, make_tiny_shop(tmp_path, users=400)
    ends = []
    for target, arguments in [
        (train_tiny, (shop, tmp_path / "whole")),
        (train_and_die, (shop, tmp_path / "run", 3, TOUCHES_OF_A_STEP // 2)),
        (train_tiny, (shop, tmp_path / "run")),
    ]:
        process = warm.process(target, *arguments, **how)
        process.start()
        process.join()
        ends.append(process.exitcode)
    assert ends == [0, -signal.SIGKILL, 0]
    expected, found = trained_files(tmp_path / "whole"), trained_files(tmp_path / "run")
    assert [name for name in expected if expected[name] != found.get(name)] == []
