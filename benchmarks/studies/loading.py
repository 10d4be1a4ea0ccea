"""A service in a process of its own, and clients that ask it over loopback."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

JSON = {"Content-Type": "application/json"}
KEY = "administers"  # what the study's own service is asked with


@dataclass(frozen=True)
class Answer:
    """What was answered to a request: its status, the value, seconds on the client's clock."""

    status: int
    value: Any
    seconds: float


class Client:
    """One connection, that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: Any = None, method: str = "POST") -> Answer:
        """Ask, and wait for the answer."""
        begun = time.perf_counter()
        headers = JSON | {"Authorization": f"Bearer {KEY}"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - begun
        told = response.headers.get("Content-Type", "").startswith("application/json")
        return Answer(response.status, json.loads(content) if told else content.decode(), seconds)


@contextmanager
def service(runs: Path, folder: Path, *options: str) -> Iterator[int]:
    """`peftrec serve` over all runs of a folder, one thread; its port, once it is ready. `folder`: for keys and log.

    Raises SystemExit with its last words where it ends by itself.
    """
    keys, log = folder / "keys.json", folder / "serve.log"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(json.dumps({"keys": [{"name": "study", "sha256": digest, "admin": True}]}))
    command = [sys.executable, "-m", "peftrec", "serve", "--runs", str(runs), "--port", "0", "--keys", str(keys)]
    with log.open("w") as stream:
        child = subprocess.Popen(
            [*command, "--grace", "0", *options], stderr=stream, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    try:
        yield _port(child, log)
    finally:
        child.terminate()
        child.wait()


def _port(child: subprocess.Popen[bytes], log: Path) -> int:
    while child.poll() is None:
        whole = log.read_text().rpartition("\n")[0].splitlines()
        told = [json.loads(line) for line in whole if line.startswith("{")]  # a warning, or last words, are no event
        events = {line["event"]: line for line in told}
        if "ready" in events:
            return int(events["listening"]["port"])
        time.sleep(0.1)
    raise SystemExit(f"serve ended: {log.read_text()[-2000:]}")


def ask_all(port: int, clients: int, asked: Sequence[tuple[str, Any]]) -> tuple[list[Answer], float]:
    """The answers to what is asked, in order; and the whole seconds. So many clients ask, each one after the other."""
    answers: list[Answer | None] = [None] * len(asked)
    left = iter(range(len(asked)))
    alone = threading.Lock()

    def work() -> None:
        client = Client(port)
        while True:
            with alone:
                number = next(left, None)
            if number is None:
                return
            answers[number] = client.ask(*asked[number])

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - begun
    return [answer for answer in answers if answer is not None], whole


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Quantiles: p50, p95, p99."""
    return {f"p{q}": round(1e3 * float(np.quantile(seconds, q / 100)), 2) for q in (50, 95, 99)}


def resident_mb(port: int) -> float:
    """Main memory of the service, as its metrics have it."""
    text = Client(port).ask("/metrics", method="GET").value
    (line,) = [line for line in text.splitlines() if line.startswith("process_resident_memory_bytes ")]
    return float(line.split()[1]) / 1e6
