"""What the endpoints share: the runs, the engine, the keys, the limits, and whether requests are to come."""

from dataclasses import dataclass, field
from typing import Literal

from peftrec.serving.live import LiveHistories
from peftrec.serving.service.engine import Engine
from peftrec.serving.service.feedback_file import FeedbackFile
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.registry import Registry
from peftrec.serving.service.seen import Seen

Stage = Literal["loading", "serving", "draining"]


@dataclass(frozen=True)
class Limits:
    """Of a request: rows, and bytes of its body."""

    rows: int = 1024
    body: int = 8 << 20


@dataclass
class Service:
    """Everything that an app needs."""

    registry: Registry
    engine: Engine
    keys: Keys
    seen: Seen
    live: LiveHistories
    feedback: FeedbackFile | None = None
    limits: Limits = field(default_factory=Limits)
    stage: Stage = "loading"

    @property
    def unready(self) -> str | None:
        """Why no request should be sent here; None: they may come."""
        if self.stage != "serving":
            return self.stage
        if not self.engine.alive:
            return "failed"
        return None if self.registry.runs else "no run is served"
