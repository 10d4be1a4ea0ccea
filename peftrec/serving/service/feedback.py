"""`POST /v1/feedback`: what users did is told, goes on in their histories, and is kept for the next training."""

import asyncio
import time
from typing import Any

import pyarrow as pa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from peftrec.data.columns import blank
from peftrec.data.rows import MOST
from peftrec.data.times import DAY, moment
from peftrec.errors import RowError, UserError, nearest, shown
from peftrec.serving.features import is_number
from peftrec.serving.live import LiveEvent
from peftrec.serving.service.asking import plain, service_of
from peftrec.serving.service.bodies import Guarded
from peftrec.serving.service.errors import Refusal, described
from peftrec.serving.service.registry import Served

router = APIRouter(
    tags=["feedback"],
    route_class=Guarded,
    responses=described(400, 401, 408, 413, 415, 422, 429, 500, 503),
)
OWN = ("user", "item", "time", "table")  # keys of an event that are no columns


class Events(BaseModel):
    """What users did."""

    model_config = ConfigDict(extra="forbid")

    events: list[dict[str, Any]] = Field(
        description="`user`, `item`; `time` (seconds since 1970 or an ISO date) unless now; numbers by the columns "
        "that tasks read, such as a rating; `table` where histories are of several",
        examples=[[{"user": "42", "item": "50", "rating": 5}]],
    )


class Accepted(BaseModel):
    """How many events were taken."""

    accepted: int


@router.post("/v1/feedback", response_model=Accepted, status_code=202)
async def feedback(request: Request, body: Events) -> Response:
    """Tell what users did: later answers to a `user` know of it, and it is kept for the next training."""
    service = service_of(request)
    if len(body.events) > service.limits.rows:
        raise Refusal(413, f"a request has at most {service.limits.rows:,} events; found {len(body.events):,}")
    runs = list(service.registry.runs.values())
    if not runs:
        raise Refusal(503, "no run is served", headers={"Retry-After": "5"})
    events = read_events(body.events, runs)
    request.state.noted["rows"] = len(events)
    if service.feedback is not None:
        try:
            await asyncio.to_thread(service.feedback.append, events)
        except UserError as error:
            raise Refusal(503, "the events could not be kept; none was taken", "not_kept") from error
    service.live.add(events)
    return plain({"accepted": len(events)}, 202)


def read_events(given: list[dict[str, Any]], runs: list[Served]) -> list[LiveEvent]:
    """The events as they are to be told of. Raises RowError for the first that is wrong: no run knows its item."""
    predictors = [served.predictor for served in runs]
    columns = sorted({task.config.column or "value" for of in predictors for task in of.run.tasks.values()})
    tables = {name for of in predictors for task in of.run.described.values() for name in task["tables"]}
    now, found = time.time(), []
    for number, event in enumerate(given, 1):
        try:
            found.append(_event(event, columns, tables, now))
            if not any(of.has_item(found[-1].item) for of in predictors):
                raise UserError(f"no item {shown(found[-1].item)} in the catalogue")
        except UserError as error:
            raise RowError(number, str(error)) from None
    return found


def _event(event: dict[str, Any], columns: list[str], tables: set[str], now: float) -> LiveEvent:
    for key in ("user", "item"):
        value = event.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise UserError(f"{key!r} must be an id, a text or a whole number; found {shown(value)}")
        if blank(pa.array([str(value)])).any():
            raise UserError(f"{key!r} must not be of spaces or invisible characters alone; found {shown(value)}")
    table = event.get("table")
    if table is not None and not (isinstance(table, str) and table in tables):
        raise UserError(f"'table' is one of {', '.join(sorted(tables)) or 'none'}; found {shown(table)}")
    when = moment(event["time"]) if event.get("time") is not None else now
    if when < 0:
        raise UserError(f"'time' must not lie before 1970; found {shown(event['time'])}")
    if when > now + DAY:
        raise UserError(f"'time' must not lie in the future; found {shown(event['time'])}")
    values = {key: value for key, value in event.items() if key not in OWN}
    for key, value in values.items():
        if key not in columns:
            raise UserError(f"{shown(key)} is no key of an event; {nearest(key, [*OWN, *columns])}")
        if not (is_number(value) or isinstance(value, bool)) or abs(value) > MOST:
            raise UserError(f"{key!r} must be a number of at most {MOST:g} in size; found {shown(value)}")
    return LiveEvent(str(event["user"]), str(event["item"]), when, table, {k: float(v) for k, v in values.items()})
