"""Texts into windows: what a run says of them is counted by topic, and a window is judged when it is over."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from peftrec.errors import RowError, UserError
from peftrec.serving.monitor.surges import Surges, Verdict
from peftrec.serving.monitor.texts import Text

AT_ONCE = 256  # texts that are read by the run together; more of an open window do not wait in memory
MOST_TOPICS = 1_000

Classify = Callable[[list[Text]], list[tuple[str | None, str]]]  # texts -> topic and class of each


@dataclass(frozen=True)
class Line:
    """A topic's window: from `start` (seconds since 1970) on, and the verdict."""

    start: float
    topic: str | None
    label: str
    verdict: Verdict

    def shown(self) -> dict[str, Any]:
        """As it is printed: {"window", "topic", "texts", "label", "count", "expected", "p", "alarm"}."""
        said = self.verdict
        began = datetime.fromtimestamp(self.start, UTC).isoformat().replace("+00:00", "Z")
        found = {"window": began, "topic": self.topic, "texts": said.texts, "label": self.label, "count": said.count}
        return {**found, "expected": said.expected, "p": said.p, "alarm": said.alarm}


class Windows:
    """Windows of `span` seconds, which begin at whole multiples of it since 1970, each after the other.

    A text that comes when its window is over is left out: `late` counts them, `first_late` is where the first stood.
    """

    def __init__(self, span: float, label: str, surges: Surges, classify: Classify) -> None:
        self._span, self._label, self._surges, self._classify = span, label, surges, classify
        self._open: float | None = None
        self._texts: Counter[str | None] = Counter()
        self._found: Counter[str | None] = Counter()
        self._topics: set[str | None] = set()
        self.late, self.first_late = 0, ""

    def watch(self, texts: Iterable[Text]) -> Iterator[list[Line]]:
        """The lines of each window that is over, by topic: when a later text arrives, and at the end.

        Raises UserError naming the text's place, also where there are more than `MOST_TOPICS` topics.
        """
        waiting: list[Text] = []
        for text in texts:
            start = text.time // self._span * self._span
            if self._open is not None and start < self._open:
                self.late, self.first_late = self.late + 1, self.first_late or text.place
                continue
            if self._open is not None and start > self._open:
                yield self._close(waiting)
                waiting = []
            self._open = start
            waiting.append(text)
            if len(waiting) == AT_ONCE:
                self._count(waiting)
                waiting = []
        if self._open is not None:
            yield self._close(waiting)

    def _count(self, texts: list[Text]) -> None:
        try:
            said = self._classify(texts) if texts else []
        except RowError as error:
            raise UserError(f"{texts[error.row - 1].place}: {error.problem}") from None
        for text, (topic, label) in zip(texts, said, strict=True):
            self._texts[topic] += 1
            self._found[topic] += label == self._label
            self._topics.add(topic)
            if len(self._topics) > MOST_TOPICS:
                rule = f"there may be {MOST_TOPICS:,} topics at most: each has a past of its own"
                raise UserError(f"{text.place}, column 'topic': {rule}; found {topic!r} beyond them")

    def _close(self, waiting: list[Text]) -> list[Line]:
        self._count(waiting)
        topics = sorted(self._texts, key=lambda topic: (topic is not None, topic or ""))
        verdicts = self._surges.judge({topic: (self._texts[topic], self._found[topic]) for topic in topics})
        assert self._open is not None
        lines = [Line(self._open, topic, self._label, verdict) for topic, verdict in verdicts.items()]
        self._texts.clear()
        self._found.clear()
        return lines
