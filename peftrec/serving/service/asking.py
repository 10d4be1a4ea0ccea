"""From a request to the engine and back: who may ask, what is too much, who left meanwhile."""

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from peftrec.machine.files import to_json
from peftrec.serving.service.engine import Answer, QueueFull, Stopped
from peftrec.serving.service.errors import Refusal
from peftrec.serving.service.registry import NoSuchRun, NoSuchTask, Served
from peftrec.serving.service.state import Service

OfRun = Annotated[
    str | None, Query(max_length=200, description="the run that answers; else the one loaded last that has the task")
]


def service_of(request: Request) -> Service:
    """What the app was made with."""
    service: Service = request.app.state.service
    return service


def find(request: Request, task: str, run: str | None) -> Served:
    """The run that answers for a task. Raises Refusal: 403, 404, or 503 where no run is loaded yet."""
    service = service_of(request)
    if not request.state.key.may(task):
        raise Refusal(403, f"key {request.state.key.name!r} may not ask this task")
    if not service.registry.runs and service.stage == "loading":
        raise Refusal(503, "the runs are being loaded", headers={"Retry-After": "5"})
    try:
        served = service.registry.find(task, run)
    except (NoSuchTask, NoSuchRun) as error:
        raise Refusal(404, str(error)) from None
    request.state.noted |= {"task": task, "run": served.name}
    return served


async def ask(request: Request, key: Hashable, rows: list[Any], call: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """What `call` answers to rows, in the engine's own time; see `Engine.ask`.

    Raises Refusal: 413 for too many rows, 429 where the queue is full; and what `call` raises of the rows.
    """
    service, noted = service_of(request), request.state.noted
    noted["rows"] = len(rows)
    if len(rows) > service.limits.rows:
        raise Refusal(413, f"a request has at most {service.limits.rows:,} rows; found {len(rows):,}")
    if not rows:
        return []
    try:
        answer = await _unless_left(request, service.engine.ask(key, rows, call))
    except QueueFull:
        said = f"{service.engine.waiting:,} rows wait, of at most {service.engine.most:,}"
        raise Refusal(429, said, "queue_full", {"Retry-After": "1"}) from None
    except Stopped:
        raise Refusal(503, "the service ends", headers={"Retry-After": "5"}) from None
    noted |= {"queue": answer.queue, "encode": answer.encode, "head": answer.head}
    return answer.values


async def _unless_left(request: Request, future: "Future[Answer]") -> Answer:
    """The answer; of a client that leaves before it is computed nothing is computed."""
    answer, left = asyncio.wrap_future(future), asyncio.create_task(_left(request))
    either: set[asyncio.Future[Any]] = {answer, left}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Refusal(400, "the client left", "client_left")
        return answer.result()
    finally:
        left.cancel()
        answer.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def took(request: Request) -> float:
    """Milliseconds since the request came."""
    return round(1e3 * (time.perf_counter() - request.state.begun), 3)


def plain(value: Any, code: int = 200) -> Response:
    """A value as strict JSON: what is not finite becomes null."""
    return Response(to_json(value, indent=None), code, media_type="application/json")
