"""Services over tiny runs, and clients of their apps."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from peftrec.machine.files import write_manifest
from peftrec.serving.live import LiveHistories
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.app import make_app
from peftrec.serving.service.engine import Engine
from peftrec.serving.service.feedback_file import FeedbackFile
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.registry import Registry
from peftrec.serving.service.seen import Seen
from peftrec.serving.service.server import Listening, Server
from peftrec.serving.service.state import Limits, Service

# What a name may be tried to be; SECRET stands for a run beside the folder.
ATTACKS = [
    "../secret",
    "..",
    ".",
    "",
    "/",
    "one/../../secret",
    "one/../one",
    "./one",
    "one/",
    "one\x00",
    "..\\secret",
    "link",
    "link/one",
    "/etc",
    "~",
    ".hidden",
    "%2e%2e%2fsecret",
    "\uff0e\uff0e/secret",
    "x" * 5000,
    "one\n",
    "\ud800",
]


def make_service(
    *runs: Path,
    folder: Path | None = None,
    keys: Keys | None = None,
    queue_rows: int = 8192,
    limits: Limits | None = None,
    feedback: Path | None = None,
    seen: Any = None,
) -> Service:
    """A service that serves `runs`; nothing listens."""
    seen, live = seen or Seen(), LiveHistories()
    registry = Registry(folder, seen, lambda path, beside: Predictor.load(path, beside, live=live))
    kept = None if feedback is None else FeedbackFile(feedback)
    service = Service(registry, Engine(queue_rows, seen), keys or Keys(), seen, live, kept, limits or Limits())
    for run in runs:
        registry.add(run)
    service.stage = "serving"
    return service


def client_of(service: Service, **options: Any) -> TestClient:
    """A client of its app; errors of ours are answers."""
    return TestClient(make_app(service), "http://localhost", raise_server_exceptions=False, **options)


def change(run, file, **changes):
    """Change a run's JSON file as somebody would who makes its manifest anew."""
    content = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps(content | changes))
    (run / "manifest.json").unlink()
    write_manifest(run)


class Running:
    """A server in a thread of its own, where signals are told by hand."""

    def __init__(self, service, wanted, grace=0.6, port=0):
        self.server, self.error = Server(service, Listening(port=port, grace=grace), wanted), None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            time.sleep(0.01)
        with suppress(AttributeError, IndexError):  # where it has ended already
            self.address = self.server.servers[0].sockets[0].getsockname()

    def _run(self):
        try:
            self.server.run()
        except BaseException as error:
            self.error = error

    @property
    def url(self):
        return "http://{}:{}".format(*self.address)

    def end(self):
        """As a second SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(20)

    def ready(self):
        return httpx.get(f"{self.url}/health/ready").json()

    def until(self, reason):
        while self.ready()["reason"] != reason:
            time.sleep(0.01)
