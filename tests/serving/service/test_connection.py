"""Connections: who sends its headers too slowly is not waited for, and holds nobody up meanwhile."""

import socket
import threading
import time

import httpx
import pytest
from served import Running, make_service

from peftrec.serving.service import connection


@pytest.fixture
def running(runs, monkeypatch):
    monkeypatch.setattr(connection, "SECONDS", 0.3)
    running = Running(make_service(runs / "two"), [], grace=0)
    yield running
    running.end()


def until_closed(client):
    """Seconds until the other side closes."""
    begun = time.monotonic()
    client.settimeout(10)
    while client.recv(1000):
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTT", b"GET /health/live HTTP/1.1\r\nHost: x\r\nA"])
def test_a_head_that_does_not_come_ends_the_connection(running, sent):
    with socket.create_connection(running.address) as client:
        client.sendall(sent)
        assert httpx.get(f"{running.url}/health/live").status_code == 200
        assert until_closed(client) < 5


def test_neither_does_one_that_comes_letter_by_letter_after_a_request(running):
    with socket.create_connection(running.address) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.recv(1000)
        stop = threading.Event()

        def trickle():
            for letter in b"GET /health/live HTTP/1.1" * 100:
                if stop.wait(0.05):
                    return
                try:
                    client.sendall(bytes([letter]))
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        took = until_closed(client)
        stop.set()
        thread.join()
        assert took < 5


def test_an_answer_that_takes_longer_is_waited_for(running, monkeypatch):
    predictor = running.server.service.registry.find("next").predictor
    kept = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda task, rows: time.sleep(0.6) or kept(task, rows))
    rows = {"rows": [{"history": [], "item": "i1"}]}
    with httpx.Client() as client:
        for _ in range(2):
            assert client.post(f"{running.url}/v1/tasks/next/predict", json=rows).status_code == 200
