"""Progress and notes: the first of several processes shows them, and what passes through is not changed."""

import logging
import threading

import numpy as np
import pytest

from peftrec.machine.progress import MANY_TASKS, bar, note, track_blocks, track_rows, track_tasks, without_bars


def test_groups_of_rows_pass_through_and_are_counted(capsys):
    groups = [np.array([1, 2]), np.array([5])]
    assert list(track_rows(groups, 3, "layer states")) == groups
    assert "layer states: 100%" in capsys.readouterr().err


def test_what_an_earlier_session_did_counts(capsys):
    with bar(10, "training", "examples", done=6) as shown:
        assert shown.n == 6
        shown.update(4)
    assert "10/10" in capsys.readouterr().err


def test_blocks_are_counted_and_a_single_one_in_silence(capsys):
    assert list(track_blocks(range(0, 5, 5), 5, "recommending", "rows")) == [0]
    assert list(track_blocks(range(0, 0, 5), 0, "recommending", "rows")) == []
    assert capsys.readouterr().err == ""
    assert list(track_blocks(range(0, 12, 5), 12, "recommending", "rows")) == [0, 5, 10]
    said = capsys.readouterr().err
    assert "recommending: 100%" in said and "12/12" in said


def test_many_tasks_are_counted_and_a_few_in_silence(capsys):
    few, many = [f"t{n}" for n in range(9)], [f"t{n}" for n in range(200)]
    assert list(track_tasks(few, "evaluating test")) == few
    assert capsys.readouterr().err == ""
    assert list(track_tasks(dict.fromkeys(many), "evaluating test")) == many
    said = capsys.readouterr().err
    assert "evaluating test: 100%" in said and "200/200" in said


@pytest.mark.parametrize(("number", "said"), [("0", ["of all", "process 0: own"]), ("1", ["process 1: own"])])
def test_of_several_processes_the_first_says_what_concerns_all(monkeypatch, caplog, capsys, number, said):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", number)
    with caplog.at_level(logging.INFO, "peftrec"):
        note("of all")
        note("own", of_any=True)
    assert caplog.messages == said
    list(track_rows([np.arange(2)], 2, "states"))
    assert bool(capsys.readouterr().err) is (number == "0")


def test_without_bars_there_are_none_in_any_thread(capsys):
    def work():
        for _ in track_tasks([str(n) for n in range(MANY_TASKS)], "asking"):
            pass

    with without_bars():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
    assert capsys.readouterr().err == ""
    work()
    assert "asking" in capsys.readouterr().err
