"""Stages: whose seconds are told, and to whom."""

import threading

from peftrec.machine import stages
from peftrec.machine.stages import stage, timed


def test_the_seconds_of_each_stage_are_told_to_who_asks(monkeypatch):
    clock = iter([1.0, 3.0, 10.0, 11.5, 20.0, 20.25])
    monkeypatch.setattr(stages.time, "perf_counter", lambda: next(clock))
    with stage("encode"):  # nobody asks
        pass
    with timed() as found:
        with stage("encode"):
            pass
        try:
            with stage("encode"):
                raise KeyError
        except KeyError:
            pass
        with stage("other"):
            pass
    with stage("encode"):
        pass
    assert found == {"encode": 3.5, "other": 0.25}


def test_threads_have_their_own():
    def elsewhere():
        with stage("encode"):
            pass

    with timed() as found:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found == {}
