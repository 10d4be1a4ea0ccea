"""The process: a listener that answers while runs are loaded, and goes on answering for a while once it is to end."""

import gc
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from peftrec.errors import UserError
from peftrec.serving.live import LiveHistories
from peftrec.serving.predictor import Predictor
from peftrec.serving.service import log
from peftrec.serving.service.app import make_app
from peftrec.serving.service.connection import Connection
from peftrec.serving.service.engine import Engine
from peftrec.serving.service.feedback_file import FeedbackFile
from peftrec.serving.service.keys import FILE, ONE, Keys, is_local
from peftrec.serving.service.masking import Masker, masker
from peftrec.serving.service.metrics import Metrics
from peftrec.serving.service.registry import Registry, check_runs, run_folders
from peftrec.serving.service.state import Limits, Service

MOST_PORT = 65_535


@dataclass(frozen=True)
class Listening:
    """Where the service listens, and for how many seconds it goes on once it is told to end."""

    host: str = "127.0.0.1"
    port: int = 8000
    grace: float = 5.0


def serve(
    runs: Sequence[Path],
    folder: Path | None = None,
    listening: Listening | None = None,
    keys: Path | None = None,
    feedback: Path | None = None,
    limits: Limits | None = None,
    queue_rows: int = 8192,
    cache: bool = True,
    mask: str | None = None,
) -> None:
    """Serve runs until SIGTERM. `folder`: where further ones may be loaded from; without `runs` all in it are served.
    `keys`: a file of keys; `feedback`: one that events are appended to; `queue_rows`: rows that may wait;
    `mask`: see `masker`.

    Raises UserError for what cannot be served.
    """
    listening, limits = listening or Listening(), limits or Limits()
    known = Keys.given(keys, os.environ)
    if listening.port > MOST_PORT:
        raise UserError(f"--port must be at most {MOST_PORT}; found {listening.port}")
    check_open(listening.host, known)
    wanted = list(runs) or (run_folders(folder) if folder is not None else [])
    if not wanted:
        raise UserError(f"{folder}: no run in it" if folder else "name a run, or a folder of runs with --runs")
    check_runs(wanted)
    by = masker(mask)
    service = build_service(folder, known, feedback, limits, queue_rows, cache, by)
    # NumPy's products of one request are too small to be shared out: with two threads they take twice the CPU time of
    # all that a request needs, and no less time. Torch's threads stay, for the texts that nobody asked about before.
    with log.lines_on_stderr(by), threadpool_limits(1, user_api="blas"):
        Server(service, listening, wanted).run()


def build_service(
    folder: Path | None, keys: Keys, feedback: Path | None, limits: Limits, queue_rows: int, cache: bool, by: Masker
) -> Service:
    """A service that has loaded nothing yet (see `load_runs`), of what `serve` takes. Raises UserError."""
    if limits.rows > queue_rows:
        raise UserError(f"--max-rows must be at most --queue-rows, {queue_rows:,}; found {limits.rows:,}")
    kept = None if feedback is None else FeedbackFile(feedback, by)
    seen = Metrics(queue_rows)
    live = LiveHistories()
    registry = Registry(folder, seen, lambda path, beside: Predictor.load(path, beside, cache, live=live))
    return Service(registry, Engine(queue_rows, seen), keys, seen, live, kept, limits)


def load_runs(service: Service, wanted: Sequence[Path]) -> None:
    """Load runs, after which requests may come, unless it is to end by now. Raises UserError."""
    for path in wanted:
        begun = time.perf_counter()
        served = service.registry.add(path)
        seconds = round(time.perf_counter() - begun, 3)
        log.write("loaded", run=served.name, digest=served.digest, seconds=seconds)
    # From now on a full collection looks at what is new alone: half a million objects of imports and backbone take
    # 0.3 s, in which nobody is answered. A run of now is freed all the same once it is gone, since none has cycles.
    gc.collect()
    gc.freeze()
    if service.stage == "loading":
        service.stage = "serving"
        log.write("ready")


class Server(uvicorn.Server):
    """uvicorn, that loads the runs once it listens, and on SIGTERM drains: not ready, but answering for a while.

    uvicorn alone refuses new connections at once, which a load balancer that has not yet heard of it sends.
    """

    def __init__(self, service: Service, listening: Listening, wanted: Sequence[Path]) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(service),
                host=listening.host,
                port=listening.port,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                http=Connection,
                ws="none",
            )
        )
        self.service, self.listening, self._wanted = service, listening, wanted
        self._ends: float | None = None
        self._error: BaseException | None = None

    def run(self, sockets: object = None) -> None:
        """Serve until told to end. Raises what kept a run from being loaded."""
        super().run()
        if self._error is not None:
            raise self._error
        if not self.started:
            raise UserError(f"{self.listening.host}:{self.listening.port}: cannot listen there: in use, or not ours")

    async def startup(self, sockets: object = None) -> None:
        """Listen, and only then load."""
        try:
            await super().startup()
        except SystemExit:  # uvicorn's own: the port is taken
            self.should_exit = True
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        log.write("listening", host=self.listening.host, port=port)
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def _load(self) -> None:
        try:
            load_runs(self.service, self._wanted)
        except BaseException as error:
            self._error = error
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: drain, and end with status 0. Ctrl-C, and a second signal: uvicorn's own way, at once."""
        if sig == signal.SIGTERM and self._ends is None:
            loading = self.service.stage == "loading"
            self.service.stage = "draining"
            self._ends = time.monotonic() + (0 if loading else self.listening.grace)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to end."""
        if self._ends is not None and time.monotonic() >= self._ends:
            self.should_exit = True
        return await super().on_tick(counter)


def check_open(host: str, keys: Keys) -> None:
    """Raise UserError where anyone in the network could ask."""
    if not is_local(host) and not keys.required:
        raise UserError(
            f"--host {host}: others than this machine's own could ask without a key: give --keys FILE (or {FILE}, or "
            f"{ONE}), or --host 127.0.0.1"
        )
