"""Ray: what `build` is given, what a replica and a worker are by themselves; and, with the extra, two of each."""

import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pytest
from command import peftrec
from starlette.testclient import TestClient
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.serving import ray as module
from peftrec.serving.predictor import Predictor
from peftrec.serving.ray import Args, Replica, Scorer, build
from peftrec.training.loop import train

ROWS = [{"user": f"u{n % 5}", "item": f"i{n % 7}"} for n in range(30)] + [{"history": [], "item_text": "something new"}]
CLIENTS = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one task."""
    shop = make_tiny_shop(tmp_path_factory.mktemp("ray"))
    changes = {"epochs": 1, "checkpoint": {"every": "1000 steps"}}
    return train(tiny_recipe(shop, tasks={"interest": THREE["interest"]}, train=changes), shop / "run")


@pytest.fixture(scope="module")
def expected(run):
    """What one process answers."""
    return [one["score"] for one in Predictor.load(run).predict("interest", ROWS)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "runs: name one run folder or more, as runs=DIR,DIR"),
        ({"runs": " , "}, "runs: List should have at least 1 item after validation, not 0; found []"),
        ({"runs": "a", "replicas": "2"}, "replicas: no such argument; did you mean 'min_replicas'?"),
        ({"runs": "a", "min_replicas": "3"}, "max_replicas must be at least min_replicas, 3; found 2"),
        ({"runs": "a", "min_replicas": "0"}, "min_replicas: Input should be greater than or equal to 1; found '0'"),
        ({"runs": "a", "target": "0"}, "target: Input should be greater than 0; found '0'"),
        ({"runs": "a", "grace": "soon"}, "grace: Input should be a valid number, unable to parse string as a number"),
    ],
)
def test_wrong_arguments_are_one_message_each(given, said):
    with pytest.raises(UserError) as error:
        build(given)
    assert str(error.value).startswith(said)


def test_texts_are_read_as_values_and_places_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = Args.read({"runs": "a, /b", "keys": "keys.yaml", "cache": "false", "max_replicas": "4", "cpus": "0.5"})
    assert args.runs == [tmp_path / "a", Path("/b")]
    assert (args.keys, args.feedback, args.cache) == (tmp_path / "keys.yaml", None, False)
    assert (args.min_replicas, args.max_replicas, args.cpus) == (1, 4, 0.5)


def test_a_run_that_is_not_there_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_needed", lambda name: None)
    with pytest.raises(UserError, match="no such run folder"):
        build({"runs": [tmp_path / "none"]})


def test_without_the_extra_it_says_what_to_install(run, tmp_path, monkeypatch):
    for name in ("ray", "ray.serve", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    said = r"several processes by Ray need ray(\.\w+)?: pip install 'peftrec\[ray\]'"
    with pytest.raises(UserError, match=said):
        build({"runs": run})
    (tmp_path / "rows").write_text('{"user": "u1", "item": "i1"}\n')
    done = peftrec(
        *("predict", run, "--task", "interest", "--input", tmp_path / "rows", "--engine", "ray"),
        *("--output", tmp_path / "out"),
    )
    assert (done.exit_code, done.stdout, os.listdir(tmp_path)) == (2, "", ["rows"])
    assert done.stderr == "peftrec: several processes by Ray need ray: pip install 'peftrec[ray]'\n"


@contextmanager
def replica_of(monkeypatch, host, **args):
    """A replica in this process, of a cluster whose proxies listen on `host`."""
    monkeypatch.setattr(module, "_listens_on", lambda: host)
    replica = Replica(Args.read(args))
    try:
        yield replica
    finally:
        replica._lines.__exit__(None, None, None)
        replica.service.engine.stop()


def test_a_replica_answers_as_the_service_does_and_is_healthy_while_its_engine_runs(run, expected, monkeypatch):
    with replica_of(monkeypatch, "127.0.0.1", runs=[run]) as replica:
        client = TestClient(replica.__serve_build_asgi_app__(), "http://localhost")
        answer = client.post("/v1/tasks/interest/predict", json={"rows": ROWS}).json()
        assert [one["score"] for one in answer["predictions"]] == pytest.approx(expected, abs=1e-6)
        replica.check_health()
        replica.service.engine.stop()
        with pytest.raises(RuntimeError, match="failed"):
            replica.check_health()


def test_without_keys_no_replica_serves_the_network(run, monkeypatch):
    with (
        pytest.raises(UserError, match=r"--host 0\.0\.0\.0: others than this machine's own could ask without a key"),
        replica_of(monkeypatch, "0.0.0.0", runs=[run]),
    ):
        pytest.fail("it serves")


def block_of(rows, first=1):
    return pa.table({"row": range(first, first + len(rows)), "json": [json.dumps(row) for row in rows]})


def test_a_worker_answers_with_the_rows_numbers(run, expected):
    found = Scorer(run, "interest", True, False)(block_of(ROWS, first=101)).to_pylist()
    assert [one["row"] for one in found] == list(range(101, 101 + len(ROWS)))
    assert [json.loads(one["json"])["score"] for one in found] == pytest.approx(expected, abs=1e-6)
    assert {one["problem"] for one in found} == {""}


def test_a_worker_tells_what_is_wrong_of_a_row_or_of_the_run_and_raises_nothing(run, tmp_path):
    wrong = block_of([ROWS[0], {"user": "u1", "itm": "i1"}], first=11)
    (found,) = Scorer(run, "interest", True, False)(wrong).to_pylist()
    assert found["row"] == 12 and found["problem"].startswith("'itm' is no key of task 'interest'")
    (found,) = Scorer(run, "intrest", True, False)(wrong).to_pylist()
    assert found["row"] == 0 and found["problem"].startswith("no task 'intrest' in this run")
    (found,) = Scorer(tmp_path / "none", "interest", True, False)(wrong).to_pylist()
    assert found["row"] == 0 and "no such run folder" in found["problem"]


def test_a_cluster_that_is_not_there_is_one_message(monkeypatch):
    class Ray:
        """Stands in for the package."""

        def is_initialized(self):
            return False

        def init(self, address, **options):
            raise ConnectionError(f"nobody at {address}\nand so on")

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(UserError) as error, module._cluster(Ray(), 2):
        pytest.fail("it goes on")
    assert str(error.value) == "RAY_ADDRESS=auto: nobody at auto"


def test_a_cluster_that_takes_no_connection_is_not_waited_for(monkeypatch):
    class Ray:
        @staticmethod
        def is_initialized():
            return False

        def init(self, address, **options):
            asked.append(address)
            raise ConnectionError("it was asked")

    def said(address):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError) as error, module._cluster(Ray(), 2):
            pytest.fail("it goes on")
        return str(error.value)

    asked = []
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", f"[::1]:{port}", "127.0.0.1:port"):
            assert said(address).startswith(f"RAY_ADDRESS={address!r}: no Ray cluster can be reached there (")
        assert not asked
        monkeypatch.setattr(module, "ANSWERS", 0.05)
        held.listen(0)
        queue = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]  # full: nobody takes them
        assert "no answer in 0.05 seconds" in said(f"127.0.0.1:{port}")
        queue[0].close()
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.getsockname()[1]}"
        monkeypatch.setattr(module, "ANSWERS", 10)
        assert said(address) == f"RAY_ADDRESS={address}: it was asked"
    assert asked == [address]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two cores on this machine."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    yield ray
    ray.shutdown()


def test_several_workers_write_what_one_process_does_and_tell_the_first_mistake(run, tmp_path, cluster):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(row) for row in ROWS))
    given = ("predict", run, "--task", "interest", "--input", rows, "--output")
    assert peftrec(*given, tmp_path / "one").exit_code == 0
    assert peftrec(*given, tmp_path / "two", "--engine", "ray").exit_code == 0
    assert (tmp_path / "two").read_text() == (tmp_path / "one").read_text()
    wrong = [*ROWS[:9], {"item": "i1"}, *ROWS[:14], {"user": "nobody", "item": "i1"}]
    rows.write_text("\n\n".join(json.dumps(row) for row in wrong))
    said = [peftrec(*given, tmp_path / "bad", *more) for more in ((), ("--engine", "ray"))]
    assert [done.exit_code for done in said] == [2, 2]
    assert f"peftrec: {rows}, line 19: " in said[0].stderr and said[0].stderr.splitlines()[-1] in said[1].stderr
    assert not (tmp_path / "bad").exists()
    rows.write_text("")
    assert peftrec(*given, tmp_path / "nothing", "--engine", "ray").exit_code == 0
    assert (tmp_path / "nothing").read_text() == ""


def replicas():
    """The processes of replicas that we started."""
    return [of for of in psutil.Process().children(recursive=True) if of.name().startswith("ray::ServeRepl")]


@pytest.fixture(scope="module")
def url(run, cluster):
    """Where two replicas are served."""
    from ray import serve

    begun = time.perf_counter()
    serve.start(http_options={"port": 8123})
    serve.run(build({"runs": run, "min_replicas": 2, "max_replicas": 2, "cpus": 0.25}))
    resident = [round(of.memory_info().rss / 1e6) for of in psutil.Process().children(recursive=True)]
    print(f"two replicas after {time.perf_counter() - begun:.1f} s; MB of the processes: {resident}")
    yield "http://127.0.0.1:8123"
    serve.shutdown()


def test_two_replicas_answer_as_one_process_does(url, expected):
    loaded = set()
    for _ in range(50):
        answer = httpx.post(f"{url}/v1/tasks/interest/predict", json={"rows": ROWS}).json()
        assert [one["score"] for one in answer["predictions"]] == pytest.approx(expected, abs=1e-6)
        loaded.add(httpx.get(f"{url}/info").json()["runs"][0]["loaded"])
        if len(loaded) == 2:
            return
    pytest.fail(f"only one replica answers: {loaded}")


def test_of_a_replica_killed_under_load_only_what_it_had_is_lost_and_another_takes_its_place(url, expected):
    codes, wrong, stop = [], [], threading.Event()

    def ask():
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                answer = client.post(f"{url}/v1/tasks/interest/predict", json={"rows": ROWS})
                codes.append(answer.status_code)
                if answer.status_code == 200:
                    scores = [one["score"] for one in answer.json()["predictions"]]
                    wrong.extend([] if scores == pytest.approx(expected, abs=1e-6) else [scores])

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while len(codes) < 50:
        time.sleep(0.01)
    killed, *rest = replicas()
    assert len(rest) == 1
    killed.kill()
    at = len(codes)
    while len(codes) < at + 300:
        time.sleep(0.01)
    while len(replicas()) < 2 or killed.pid in [of.pid for of in replicas()]:
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    lost = [code for code in codes if code != 200]
    print(f"{len(codes)} requests, lost {lost}")
    assert not wrong and len(lost) <= CLIENTS  # each of whom waits for one answer
