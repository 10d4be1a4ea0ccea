"""Loading and unloading of runs while the service goes on, for keys with `admin: true`."""

import asyncio
import time
from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, RootModel
from starlette.responses import Response

from peftrec.errors import UserError
from peftrec.runs.saved import UnlikeBackbone
from peftrec.serving.service import log
from peftrec.serving.service.asking import plain, service_of, took
from peftrec.serving.service.bodies import Guarded
from peftrec.serving.service.errors import Refusal, described
from peftrec.serving.service.registry import NoSuchRun


async def _administers(request: Request) -> None:
    service_of(request).keys.administers(request.state.key)


router = APIRouter(
    prefix="/v2/repository",
    tags=["administration"],
    route_class=Guarded,
    dependencies=[Depends(_administers)],
    responses=described(401, 403, 404, 409, 422, 429, 500, 503),
)


class Loaded(BaseModel):
    """The run that is served now."""

    run: str
    digest: str
    tasks: list[str]
    took_ms: float


class Unloaded(BaseModel):
    """The run that is served no more."""

    run: str


class Entry(BaseModel):
    """A run that is served, or may be."""

    name: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Index(RootModel[list[Entry]]):
    """Every run."""


@router.post("/index", response_model=Index)
async def index(request: Request) -> Response:
    """The runs that are served, and those in the folder of runs."""
    registry = service_of(request).registry
    names = await asyncio.to_thread(registry.names)
    served = registry.runs
    states = [{"name": name, "state": "READY" if name in served else "UNAVAILABLE", "reason": ""} for name in names]
    return plain(states)


@router.post("/models/{run}/load", response_model=Loaded)
async def load(request: Request, run: str) -> Response:
    """Serve a run of the folder of runs; one of the same name ends with its last request.

    Its files are held against its manifest, its backbone must be that of the others, and every task must answer once:
    only then is it served.
    """
    service = service_of(request)
    if service.stage != "serving":
        raise Refusal(503, f"the service is {service.stage}")
    request.state.noted["run"] = run
    begun = time.perf_counter()
    try:
        served = await asyncio.to_thread(service.registry.load, run)
    except NoSuchRun as error:
        raise Refusal(404, str(error)) from None
    except UnlikeBackbone as error:
        raise Refusal(409, str(error)) from None
    except UserError as error:
        raise Refusal(422, str(error), "wrong_run") from None
    log.write("loaded", run=run, digest=served.digest, seconds=round(time.perf_counter() - begun, 3))
    return plain({"run": run, "digest": served.digest, "tasks": served.predictor.tasks, "took_ms": took(request)})


@router.post("/models/{run}/unload", response_model=Unloaded)
async def unload(request: Request, run: str) -> Response:
    """Serve a run no more; requests that have begun end with it."""
    try:
        await asyncio.to_thread(service_of(request).registry.unload, run)
    except NoSuchRun as error:
        raise Refusal(404, str(error)) from None
    log.write("unloaded", run=run)
    return plain({"run": run})
