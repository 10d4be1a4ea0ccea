"""The one thread that computes: what waits for the same is computed together, and each request gets its own answers.

Requests wait in a bounded queue, a line a sort of question (`key`: such as predictions of one task of one run). Lines
take turns, and each time what waits in one is computed together, up to a bound: a request with many rows is computed in
parts, and holds up nobody for longer than one of them takes.
"""

import threading
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from peftrec.errors import RowError
from peftrec.machine.stages import timed
from peftrec.serving.service.seen import Seen

AT_ONCE = 256  # rows that are computed together at most


class QueueFull(Exception):
    """The queue has no room for a request's rows."""


class Stopped(Exception):
    """The engine runs no more."""


@dataclass(frozen=True)
class Answer:
    """What was answered to a request's rows, in their order, and the seconds that it waited, that texts were encoded,
    and that everything else of what was computed with it took."""

    values: list[Any]
    queue: float
    encode: float
    head: float


@dataclass(eq=False)
class _Job:
    rows: list[Any]
    call: Callable[[list[Any]], list[Any]]
    since: float
    future: "Future[Answer]" = field(default_factory=Future)
    taken: int = 0  # rows that were computed, or are
    values: list[Any] = field(default_factory=list)
    queue: float = 0.0
    encode: float = 0.0
    head: float = 0.0
    over: bool = False

    @property
    def unwanted(self) -> bool:
        return self.over or self.future.cancelled()

    def end(self, error: Exception | None = None) -> None:
        """Give the answer, or what went wrong, unless nobody waits for it any more."""
        self.over = True
        if self.future.set_running_or_notify_cancel():
            if error is None:
                self.future.set_result(Answer(self.values, self.queue, self.encode, self.head))
            else:
                self.future.set_exception(error)


@dataclass(frozen=True)
class _Part:
    """The rows of a job from `first` on that are computed at once."""

    job: _Job
    first: int
    rows: list[Any]


class Engine:
    """A bounded queue and its thread. `most`: rows that may wait."""

    def __init__(self, most: int, seen: Seen) -> None:
        self.most, self._seen = most, seen
        self._lines: OrderedDict[Hashable, deque[_Job]] = OrderedDict()
        self._rows, self._stopped = 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._stopped

    def ask(self, key: Hashable, rows: list[Any], call: Callable[[list[Any]], list[Any]]) -> "Future[Answer]":
        """Let `call` answer the rows, one answer a row, perhaps with others' rows of the same `key`, whose `call` must
        mean the same.

        The future fails as `call` does for these rows alone, a RowError naming their own number; once it is cancelled,
        nothing more is computed. Raises QueueFull and Stopped.
        """
        job = _Job(rows, call, time.perf_counter())
        with self._changed:
            if not self.alive:
                raise Stopped
            if self._rows + len(rows) > self.most:
                raise QueueFull
            self._lines.setdefault(key, deque()).append(job)
            self._count(len(rows))
            self._changed.notify()
        return job.future

    def stop(self) -> None:
        """End the thread after what it computes now; who still waits gets Stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._answer(batch)
        finally:
            with self._changed:
                self._stopped = True
                left = [job for line in self._lines.values() for job in line if not job.over]
                self._lines.clear()
                self._count(-self._rows)
            for job in left:
                job.end(Stopped())

    def _take(self) -> list[_Part]:
        """What is computed next: of a line the first rows that are still wanted; nothing when the engine is to end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._lines or self._stopped)
                if self._stopped:
                    return []
                key, line = self._lines.popitem(last=False)
                batch: list[_Part] = []
                room = AT_ONCE
                while line and room:
                    job = line[0]
                    rows = job.rows[job.taken : job.taken + room]
                    if job.unwanted:
                        rows = job.rows[job.taken :]
                    else:
                        batch.append(_Part(job, job.taken, rows))
                        room -= len(rows)
                    job.taken += len(rows)
                    self._count(-len(rows))
                    if job.taken == len(job.rows):
                        line.popleft()
                if line:
                    self._lines[key] = line
                if batch:
                    return batch

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._seen.queued(self._rows)

    def _answer(self, batch: list[_Part]) -> None:
        """Compute parts together: without those whose row is wrong, and one by one where anything else fails."""
        while batch:
            begun = time.perf_counter()
            ends = list(accumulate(len(part.rows) for part in batch))
            try:
                with timed() as seconds:
                    values = batch[0].job.call([row for part in batch for row in part.rows])
                break
            except RowError as error:
                place = bisect_left(ends, error.row)
                part = batch.pop(place)
                number = error.row - ends[place] + len(part.rows)
                part.job.end(RowError(part.first + number, error.problem))
            except Exception as error:
                if len(batch) == 1:
                    batch.pop().job.end(error)
                while batch:
                    self._answer([batch.pop(0)])
        else:
            return
        whole, encode = time.perf_counter() - begun, seconds.get("encode", 0.0)
        self._seen.batch(len(values), len(batch))
        for part, end in zip(batch, ends, strict=True):
            job = part.job
            job.queue += 0 if part.first else begun - job.since
            job.encode += encode
            job.head += whole - encode
            job.values += values[end - len(part.rows) : end]
            if len(job.values) == len(job.rows):
                job.end()
