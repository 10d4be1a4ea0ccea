"""What the service counts, as Prometheus reads it: its names are `peftrec_*`, beside the process's own.

docs/guide/serving.md has the table of them; deploy/ has alerts and a dashboard over them.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from peftrec.model.backbone.frozen import Used
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.drift import Scores, labels_of, score_of, scores_of_test
from peftrec.serving.service.seen import Seen

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 2, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOST_LABELS = 1000  # of a task: with more of them none are counted one by one


@dataclass
class _Served:
    """What is counted of one task of one run, from when the run was loaded."""

    digest: str
    kind: str
    scores: Scores | None
    labels: dict[str, int] = field(default_factory=dict)


class Metrics(Seen):
    """A `Seen` that counts, over a registry of its own. `queue_rows`: rows that may wait."""

    def __init__(self, queue_rows: int) -> None:
        self._registry = of = CollectorRegistry()
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], _Served] = {}  # by run and task
        self._used = Used()  # of the backbone that all share
        self._requests = Counter("peftrec_requests", "Requests answered", ["endpoint", "task", "code"], registry=of)
        self._seconds = Histogram(
            *(
                "peftrec_request_seconds",
                "Seconds of requests: whole, in the queue, encoding texts, the rest",
                ["task", "stage"],
            ),
            registry=of,
            buckets=SECONDS,
        )
        self._queue = Gauge("peftrec_queue_rows", "Rows that wait", registry=of)
        Gauge("peftrec_queue_limit_rows", "Rows that may wait", registry=of).set(queue_rows)
        self._rows = Histogram("peftrec_batch_rows", "Rows computed together", registry=of, buckets=SIZES)
        self._together = Histogram("peftrec_batch_requests", "Requests computed together", registry=of, buckets=SIZES)
        self._rejected = Counter("peftrec_rejected", "Requests refused, by the type of error", ["reason"], registry=of)
        self._swaps = Counter("peftrec_swaps", "Runs loaded and unloaded", ["run", "change"], registry=of)
        of.register(_Now(self))
        ProcessCollector(registry=of)

    def answered(self, endpoint: str, task: str | None, code: int, seconds: Mapping[str, float]) -> None:
        """Count a request and its seconds."""
        self._requests.labels(endpoint, task or "", str(code)).inc()
        for stage, took in seconds.items():
            self._seconds.labels(task or "", stage).observe(took)

    def queued(self, rows: int) -> None:
        """Keep how many rows wait."""
        self._queue.set(rows)

    def batch(self, rows: int, requests: int) -> None:
        """Count what was computed together."""
        self._rows.observe(rows)
        self._together.observe(requests)

    def rejected(self, reason: str) -> None:
        """Count a refusal."""
        self._rejected.labels(reason).inc()

    def swapped(self, run: str, digest: str, folder: Path, predictor: Predictor, loaded: bool) -> None:
        """Begin, or end, to count the tasks of a run."""
        found = {}
        if loaded:
            for task in predictor.tasks:
                before = scores_of_test(folder, predictor, task)
                kind = predictor.run.tasks[task].config.kind
                found[run, task] = _Served(digest, kind, None if before is None else Scores(before))
        with self._lock:
            self._tasks = {key: of for key, of in self._tasks.items() if key[0] != run} | found
            self._used = predictor.model.encoder.backbone.used
        self._swaps.labels(run, "loaded" if loaded else "unloaded").inc()

    def predicted(self, run: str, task: str, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Count scores and labels."""
        of = self._tasks.get((run, task))
        if of is None:  # unloaded meanwhile
            return
        scores = [score for answer in predictions if (score := score_of(answer)) is not None]
        with self._lock:
            if of.scores is not None and scores:
                of.scores.add(np.array(scores))
            for label in (label for answer in predictions for label in labels_of(answer)):
                if label in of.labels or len(of.labels) < MOST_LABELS:
                    of.labels[label] = of.labels.get(label, 0) + 1

    def text(self) -> str:
        """Everything counted, in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def now(self) -> Iterator[Metric]:
        """What is not counted event by event, but read when it is asked for."""
        with self._lock:
            yield from self._of_tasks()
            yield from _of_texts(self._used)

    def _of_tasks(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("peftrec_task_info", "A task served", labels=["run", "task", "kind", "digest"])
        labels = CounterMetricFamily("peftrec_labels", "Predictions by their label", labels=["run", "task", "label"])
        scores = HistogramMetricFamily(
            "peftrec_score", "Scores predicted, by the deciles of the run's test rows", labels=["run", "task"]
        )
        psi = GaugeMetricFamily(
            "peftrec_score_psi", "Population stability index of the latest scores", labels=["run", "task"]
        )
        for (run, task), of in self._tasks.items():
            info.add_metric([run, task, of.kind, of.digest], 1)
            for label, count in of.labels.items():
                labels.add_metric([run, task, label], count)
            if of.scores is not None:
                ends = [*map(repr, of.scores.ends.tolist()), "+Inf"]
                counts = of.scores.counts.cumsum().tolist()
                scores.add_metric([run, task], list(zip(ends, counts, strict=True)), of.scores.sum)
                if (index := of.scores.psi) is not None:
                    psi.add_metric([run, task], index)
        yield from (info, labels, scores, psi)


def _of_texts(used: Used) -> Iterator[Metric]:
    """What the frozen part was asked for, and did."""
    texts = CounterMetricFamily("peftrec_texts", "Texts whose frozen states were asked for", labels=["cached"])
    texts.add_metric(["yes"], used.found)
    texts.add_metric(["no"], used.computed)
    yield texts
    yield CounterMetricFamily("peftrec_frozen_seconds", "Seconds of the frozen part", value=used.seconds)


class _Now(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.now()

    def describe(self) -> Iterable[Metric]:
        return ()  # not asked before anything is served
