"""What the service tells whoever counts: metrics are made of these calls and of nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftrec.serving.predictor import Predictor


class Seen:
    """Counts nothing; `Metrics` does.

    Called from the event loop and from the engine's thread: what is done here is short, and safe in both.
    """

    def answered(self, endpoint: str, task: str | None, code: int, seconds: Mapping[str, float]) -> None:
        """A request ended. `endpoint`: its path as OpenAPI has it. `seconds` by stage: whole; queue, encode, head."""

    def queued(self, rows: int) -> None:
        """So many rows wait in the queue now."""

    def batch(self, rows: int, requests: int) -> None:
        """So many rows of so many requests were computed together."""

    def rejected(self, reason: str) -> None:
        """A request was refused: the `error_type` of its answer, such as queue_full, rate_limited, wrong_row."""

    def swapped(self, run: str, digest: str, folder: Path, predictor: Predictor, loaded: bool) -> None:
        """A run was loaded from a folder, or unloaded."""

    def predicted(self, run: str, task: str, predictions: Sequence[Mapping[str, Any]]) -> None:
        """What `predict` answered to the rows of a request."""

    def text(self) -> str:
        """What was counted, as Prometheus reads it."""
        return ""
