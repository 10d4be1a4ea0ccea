"""Clients of a service in another process: answers belong to what was asked; the service ends with the block."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks.studies import loading
from benchmarks.studies.loading import Client, ask_all, milliseconds, resident_mb


class Echo(BaseHTTPRequestHandler):
    """Answers with the body, or as `/metrics` does."""

    protocol_version = "HTTP/1.1"

    def _answer(self, content, kind, code=200):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(content)
        key = self.headers["Authorization"]
        told = {"path": self.path, "asked": asked, "key": key, "client": self.client_address[1]}
        self._answer(json.dumps(told).encode(), "application/json", 429 if asked == 7 else 200)

    def do_GET(self):
        self._answer(b"# HELP x y\nprocess_resident_memory_bytes 2.5e+08\n", "text/plain; version=1.0.0")

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def port():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_answers_are_in_the_order_of_what_was_asked_by_so_many_clients(port):
    answers, whole = ask_all(port, 3, [(f"/v1/{n}", n) for n in range(20)])
    assert [answer.value["asked"] for answer in answers] == list(range(20))
    assert [answer.value["path"] for answer in answers] == [f"/v1/{n}" for n in range(20)]
    assert [answer.status for answer in answers] == [429 if n == 7 else 200 for n in range(20)]
    assert {answer.value["key"] for answer in answers} == {f"Bearer {loading.KEY}"}
    assert 1 <= len({answer.value["client"] for answer in answers}) <= 3
    assert 0 < max(answer.seconds for answer in answers) <= whole


def test_memory_is_what_the_metrics_say(port):
    assert resident_mb(port) == 250.0
    assert Client(port).ask("/metrics", method="GET").value.startswith("# HELP")


def test_quantiles_are_in_milliseconds():
    assert milliseconds(np.arange(101) / 1000) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_service_is_asked_once_it_is_ready_and_ends_with_the_block(tmp_path, monkeypatch):
    fake = tmp_path / "fake"
    fake.write_text(
        "#!/bin/sh\necho $$ >%s\n"
        """echo '{"event": "listening", "port": 4321}' >&2\n"""
        """echo '{"event": "ready"}' >&2\nexec sleep 60\n""" % (tmp_path / "pid")
    )
    fake.chmod(0o755)
    monkeypatch.setattr(loading.sys, "executable", str(fake))
    with loading.service(tmp_path, tmp_path) as port:
        assert port == 4321
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    # It lives on a little after its last words: they are read while it runs, too.
    fake.write_text("#!/bin/sh\necho 'no run in it' >&2\nsleep 1\nexit 2\n")
    with pytest.raises(SystemExit, match="serve ended: no run in it"), loading.service(tmp_path, tmp_path):
        pass
