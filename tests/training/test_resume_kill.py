"""SIGKILL at any moment, also while a checkpoint is written: the training goes on to the same bytes."""

import multiprocessing
import os
import random
import time

import pytest
from tiny import make_tiny_shop, train_tiny, trained_files

from peftrec.runs.checkpoints import checkpoint_folders, step_of
from peftrec.runs.folder import verify_run

KILLS = 20
# A checkpoint's files in the order in which they are written: to kill while the next one is.
WRITTEN = ["adapters/shared.safetensors", "heads/query.safetensors", "optimizer.safetensors", "origin.json"]
WRITTEN += ["manifest.json"]


@pytest.fixture(scope="module")
def processes():
    """Processes that start warm: a server that has imported everything forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["peftrec.training.loop", "transformers.models.bert.modeling_bert", "peft", "datasets"]
    )
    return context


def being_written(run):
    """The checkpoint that is being written now or was when the process was killed, if any."""
    return next((run.parent / f".{run.name}.partial" / "checkpoints").glob(".step-*"), None)


def newest(run):
    return step_of(checkpoint_folders(run)[-1]) if checkpoint_folders(run) else 0


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.is_alive(), "it came to its end before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.0003)


def kill_at_a_moment(process, run, number, chance):
    """Start the process and kill it: while it starts, after some steps, or while it writes a certain file."""
    begin, left = newest(run), being_written(run)
    inode = left and left.stat().st_ino
    file, further = chance.choice(WRITTEN), chance.randint(1, 3)

    def writes():
        now = being_written(run)
        try:
            return now is not None and now.stat().st_ino != inode and (now / file).exists()
        except FileNotFoundError:  # it was finished just now
            return False

    process.start()
    if number % 5 == 4:
        time.sleep(chance.uniform(0, 1))
    elif number % 2:
        wait_for(writes, process)
    else:
        wait_for(lambda: newest(run) >= begin + further, process)
        time.sleep(chance.uniform(0, 0.03))
    assert process.is_alive(), "it came to its end before it was killed"
    process.kill()
    process.join()


def test_killed_twenty_times_it_ends_in_the_same_bytes(processes, tmp_path):
    chance, shop = random.Random(0), make_tiny_shop(tmp_path)
    whole, run = tmp_path / "whole", tmp_path / "run"
    reference = processes.Process(target=train_tiny, args=(shop, whole))
    reference.start()
    half_written, steps = 0, []
    for number in range(KILLS):
        kill_at_a_moment(processes.Process(target=train_tiny, args=(shop, run)), run, number, chance)
        half_written += being_written(run) is not None
        steps.append(newest(run))
    assert steps == sorted(steps)
    assert half_written >= 3
    last = processes.Process(target=train_tiny, args=(shop, run))
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
    assert sum(name.endswith(".safetensors") for name in expected) == 2 * 3 + 1  # a task: adapter, head, part; shared
    assert [name for name in expected if expected[name] != found.get(name)] == []
