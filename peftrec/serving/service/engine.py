"""The one thread that computes: what waits for the same is computed together, and each request gets its own answers.

Requests wait in a bounded queue, a line a sort of question (`key`: such as predictions of one task of one run). Lines
take turns, so that no task holds up the others; all that waits in a line is computed together, up to a bound.
"""

import threading
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from peftrec.errors import RowError
from peftrec.serving.service.seen import Seen

AT_ONCE = 1024  # rows that are computed together at most, unless one request has more


class QueueFull(Exception):
    """The queue has no room for a request's rows."""


class Stopped(Exception):
    """The engine runs no more."""


@dataclass(frozen=True)
class Answer:
    """What was answered to a request's rows, in their order, and the seconds it waited and was computed."""

    values: list[Any]
    queue: float
    compute: float


@dataclass(eq=False)
class _Job:
    rows: list[Any]
    call: Callable[[list[Any]], list[Any]]
    since: float
    future: "Future[Answer]"


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

        The future fails as `call` does for these rows alone, a RowError naming their own number; cancelled while it
        waits, nothing is computed. Raises QueueFull and Stopped.
        """
        job = _Job(rows, call, time.perf_counter(), Future())
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
                left = [job for line in self._lines.values() for job in line]
                self._lines.clear()
                self._count(-self._rows)
            for job in left:
                if job.future.set_running_or_notify_cancel():
                    job.future.set_exception(Stopped())

    def _take(self) -> list[_Job]:
        """The oldest jobs of the next line, each still wanted; none when the engine is to end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._lines or self._stopped)
                if self._stopped:
                    return []
                key, line = self._lines.popitem(last=False)
                batch: list[_Job] = []
                size = 0
                while line and (not batch or size + len(line[0].rows) <= AT_ONCE):
                    job = line.popleft()
                    self._count(-len(job.rows))
                    if job.future.set_running_or_notify_cancel():
                        batch.append(job)
                        size += len(job.rows)
                if line:
                    self._lines[key] = line
                if batch:
                    return batch

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._seen.queued(self._rows)

    def _answer(self, batch: list[_Job]) -> None:
        """Answer jobs together: without those whose row is wrong, and one by one where anything else fails."""
        while batch:
            begun = time.perf_counter()
            ends = list(accumulate(len(job.rows) for job in batch))
            try:
                values = batch[0].call([row for job in batch for row in job.rows])
                break
            except RowError as error:
                place = bisect_left(ends, error.row)
                job = batch.pop(place)
                job.future.set_exception(RowError(error.row - ends[place] + len(job.rows), error.problem))
            except Exception as error:
                if len(batch) == 1:
                    batch.pop().future.set_exception(error)
                while batch:
                    self._answer([batch.pop(0)])
        else:
            return
        compute = time.perf_counter() - begun
        self._seen.batch(len(values), len(batch))
        for job, end in zip(batch, ends, strict=True):
            job.future.set_result(Answer(values[end - len(job.rows) : end], begun - job.since, compute))
