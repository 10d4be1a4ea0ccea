"""Services over tiny runs, and clients of their apps."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from peftrec.serving.live import LiveHistories
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.app import make_app
from peftrec.serving.service.engine import Engine
from peftrec.serving.service.feedback_file import FeedbackFile
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.registry import Registry
from peftrec.serving.service.seen import Unseen
from peftrec.serving.service.state import Limits, Service


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
    seen, live = seen or Unseen(), LiveHistories()
    registry = Registry(folder, seen, lambda path, beside: Predictor.load(path, beside, live=live))
    kept = None if feedback is None else FeedbackFile(feedback)
    service = Service(registry, Engine(queue_rows, seen), keys or Keys(), seen, live, kept, limits or Limits())
    for run in runs:
        registry.add(run)
    service.stage = "serving"
    return service


def client_of(service: Service, **options: Any) -> TestClient:
    """A client of its app; errors of ours are answers."""
    return TestClient(make_app(service), raise_server_exceptions=False, **options)
