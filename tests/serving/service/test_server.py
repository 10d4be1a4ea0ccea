"""The process: it listens while it loads, drains on SIGTERM with no request lost, and is not open to the network."""

import gc
import http.client
import json
import signal
import socket
import threading
import time
import weakref

import httpx
import pytest
import torch
from served import Running, make_service
from threadpoolctl import threadpool_info, threadpool_limits

from peftrec.errors import UserError
from peftrec.serving.service import server as module
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.server import Listening, Server, load_runs, serve
from peftrec.serving.service.state import Limits

ROWS = {"rows": [{"history": ["i1"], "item": "i2"}]}


@pytest.fixture
def slow_to_load(runs, monkeypatch):
    """A service whose runs are loaded once `go` is set."""
    service, go = make_service(), threading.Event()
    service.stage, kept = "loading", service.registry.add
    monkeypatch.setattr(service.registry, "add", lambda path: go.wait(20) and kept(path))
    return service, go


def test_it_lives_while_it_loads_and_drains_with_no_request_lost(slow_to_load, runs):
    service, go = slow_to_load
    running = Running(service, [runs / "two"], grace=1000)
    assert httpx.get(f"{running.url}/health/live").status_code == 200
    assert running.ready() == {"ready": False, "reason": "loading"}
    go.set()
    running.until(None)
    found, stop = [], threading.Event()

    def ask():  # a connection each, as of a load balancer that has not yet heard of the end
        while not stop.is_set():
            found.append(httpx.post(f"{running.url}/v1/tasks/next/predict", json=ROWS).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    running.server.handle_exit(signal.SIGTERM, None)
    assert running.ready() == {"ready": False, "reason": "draining"}
    assert httpx.get(f"{running.url}/health/live").headers["Connection"] == "close"
    before = len(found)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(found) > before and set(found) == {200}
    assert running.server.started and httpx.get(f"{running.url}/health/live").status_code == 200
    assert running.server._ends - time.monotonic() > 900
    running.server._ends = 0
    running.thread.join(20)
    assert running.error is None and not running.server._captured_signals


def test_the_collector_leaves_alone_what_there_was_at_the_start_and_runs_of_then_are_freed_still(runs):
    service = make_service(folder=runs)
    service.stage = "loading"
    try:
        load_runs(service, [runs / "one", runs / "two"])
        assert gc.get_freeze_count() > 100_000 and service.stage == "serving"
        gone = []
        for name in ("one", "two"):
            predictor = service.registry.runs[name].predictor
            predictor.predict("interest", [predictor.example("interest")])
            gone += [weakref.ref(of) for of in (predictor, *predictor.model.trainable().values())]
        del predictor
        service.registry.load("two")
        service.registry.unload("one")
        gc.collect()
        assert len(gone) > 10 and not [of for of in gone if of() is not None]
    finally:
        gc.unfreeze()


def test_a_request_that_runs_at_the_end_is_answered(runs, monkeypatch):
    service = make_service(runs / "two")
    predictor, entered = service.registry.find("next").predictor, threading.Event()
    kept = predictor.predict_mixed

    def slow(pairs):
        entered.set()
        time.sleep(0.5)
        return kept(pairs)

    monkeypatch.setattr(predictor, "predict_mixed", slow)
    running, found = Running(service, [], grace=0), []
    url = f"{running.url}/v1/tasks/next/predict"
    asking = threading.Thread(target=lambda: found.append(httpx.post(url, json=ROWS).status_code))
    asking.start()
    assert entered.wait(20)
    running.server.handle_exit(signal.SIGTERM, None)
    running.thread.join(20)
    asking.join(20)
    assert found == [200] and running.error is None


def test_a_second_signal_ends_it_at_once(runs):
    running = Running(make_service(runs / "two"), [], grace=1000)
    running.server.handle_exit(signal.SIGTERM, None)
    assert running.ready()["reason"] == "draining"
    running.server.handle_exit(signal.SIGTERM, None)
    running.thread.join(20)
    assert not running.thread.is_alive()


def test_what_cannot_be_loaded_ends_it_with_why(runs):
    service = make_service()
    service.stage = "loading"
    running = Running(service, [runs / "none"])
    running.thread.join(20)
    assert isinstance(running.error, UserError) and "no such run folder" in str(running.error)


def test_products_of_a_request_are_not_shared_out_among_threads(runs, monkeypatch):
    seen = []

    def threads():
        return {of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"}

    monkeypatch.setattr(Server, "run", lambda self: seen.append((threads(), torch.get_num_threads())))
    with threadpool_limits(2, user_api="blas"):
        before = threads(), torch.get_num_threads()
        serve([runs / "two"], listening=Listening(port=0))
        assert seen == [({1}, before[1])] and (threads(), torch.get_num_threads()) == before


def test_a_port_that_is_taken_is_told(runs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = Running(make_service(runs / "two"), [], port=port)
        running.thread.join(20)
    assert str(running.error).startswith(f"127.0.0.1:{port}: cannot listen there")


def test_a_slow_client_holds_nobody_up(runs):
    running = Running(make_service(runs / "two"), [], grace=0)
    host = running.url.removeprefix("http://")
    slow = http.client.HTTPConnection(host)
    slow.putrequest("POST", "/v1/tasks/next/predict")
    slow.putheader("Content-Type", "application/json")
    body = json.dumps(ROWS).encode()
    slow.putheader("Content-Length", str(len(body)))
    slow.endheaders(body[:5])
    for _ in range(5):
        assert httpx.post(f"{running.url}/v1/tasks/next/predict", json=ROWS).status_code == 200
    slow.send(body[5:])
    assert slow.getresponse().status == 200
    slow.close()
    running.server.handle_exit(signal.SIGTERM, None)
    running.thread.join(20)


@pytest.mark.parametrize(
    ("host", "keys", "open_to_all"),
    [
        ("127.0.0.1", {}, False),
        ("127.9.9.9", {}, False),
        ("::1", {}, False),
        ("localhost", {}, False),
        ("0.0.0.0", {}, True),
        ("::", {}, True),
        ("10.0.0.1", {}, True),
        ("example.org", {}, True),
        ("localhost.example.org", {}, True),
        ("0.0.0.0", {"one": "secret"}, False),
    ],
)
def test_without_keys_nobody_else_in_the_network_may_ask(host, keys, open_to_all):
    if not open_to_all:
        return module.check_open(host, Keys(**keys))
    with pytest.raises(UserError, match="others than this machine's own could ask without a key"):
        module.check_open(host, Keys(**keys))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runs": []}, "name a run, or a folder of runs with --runs"),
        ({"runs": [], "folder": "empty"}, "empty: no run in it"),
        ({"runs": [], "folder": "nowhere"}, "nowhere: cannot be read: No such file or directory"),
        ({"limits": Limits(rows=9), "queue_rows": 8}, "--max-rows must be at most --queue-rows, 8; found 9"),
        ({"keys": "nowhere"}, "nowhere: cannot be read"),
        ({"feedback": "nowhere/x"}, "nowhere/x: cannot be written"),
        ({"listening": Listening(host="0.0.0.0")}, "--host 0.0.0.0: others"),
        ({"listening": Listening(port=65_536)}, "--port must be at most 65535; found 65536"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(runs, tmp_path, monkeypatch, given, said):
    monkeypatch.setattr(Server, "run", lambda self: pytest.fail("it listens"))
    (tmp_path / "empty").mkdir()
    paths = {key: tmp_path / value for key, value in given.items() if isinstance(value, str)}
    with pytest.raises(UserError, match=said):
        serve(**{"runs": [runs / "two"], **given, **paths})
