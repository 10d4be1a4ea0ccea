"""Signals in one of several processes: what has stopped all, and what must not disturb an end."""

import os
import signal
from contextlib import nullcontext

import pytest

from peftrec.machine.processes import ProcessLost, listening
from peftrec.machine.signals import StopSignals


@pytest.fixture
def own_signals():
    """A test may leave signals ignored, as a process that is about to end does."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_signal_that_came_to_another_process_is_received_and_its_echo_disturbs_nothing(monkeypatch):
    """torchrun signals one after the other: this one's comes when it has left the loop, where others wait for it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("peftrec.machine.signals.largest", lambda received: max(received, signal.SIGINT))
    with StopSignals() as signals:
        assert signals.received is None
        assert signals.agree() == signals.received == signal.SIGINT
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)  # torchrun's, once another has ended


@pytest.mark.usefixtures("own_signals")
def test_a_signal_that_comes_while_the_processes_agree_waits_for_the_next_step(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("peftrec.machine.signals.largest", lambda received: received or os.kill(os.getpid(), 15) or 0)
    with StopSignals() as signals:
        assert (signals.agree(), signals.received) == (0, signal.SIGTERM)  # the others would go on
        assert signals.agree() == signal.SIGTERM


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("training", [StopSignals, nullcontext])  # in its loop, and before or after it
def test_what_torchrun_sends_those_that_are_left_does_not_keep_them_from_saying_why(monkeypatch, training):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessLost), training(), listening():
        raise RuntimeError("[/gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:5312")
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("own_signals")
def test_a_second_ctrl_c_which_torchrun_passes_on_as_sigterm_stops_at_once(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same one, from torchrun and from whoever sent it to all
        assert signals.received == signal.SIGINT
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # nor may it disturb the end
