"""Whether the service lives, whether requests should come, what it serves."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from peftrec.serving.service.asking import plain, service_of
from peftrec.serving.service.bodies import Guarded
from peftrec.serving.service.errors import described
from peftrec.serving.service.registry import Served

open_router = APIRouter(tags=["health"])  # needs no key
router = APIRouter(tags=["what is served"], route_class=Guarded, responses=described(401, 429, 500))


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Whether requests should come, and why not."""

    ready: bool
    reason: str | None = None


class RunInfo(BaseModel):
    """A run that is served."""

    run: str
    digest: str
    loaded: float
    tasks: list[str]


class Info(BaseModel):
    """What is served, and within which limits."""

    version: str
    backbone: str | None
    runs: list[RunInfo]
    limits: dict[str, int]


class TaskInfo(BaseModel):
    """A task of a run: the keys that its rows may have, an example, whether it ranks a catalogue."""

    task: str
    run: str
    kind: str
    question: str
    keys: list[str]
    example: dict[str, Any]
    ranks: bool
    classes: list[str]


class Tasks(BaseModel):
    """Every task of every run; where runs share one, the last answers unless a run is named."""

    tasks: list[TaskInfo]


@open_router.get("/health/live", response_model=Live)
@open_router.get("/v2/health/live", response_model=Live)
async def live() -> Response:
    """Whether the process answers: it does."""
    return plain({"live": True})


@open_router.get("/health/ready", response_model=Ready, responses={503: {"model": Ready}})
@open_router.get("/v2/health/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> Response:
    """Whether requests should come: not while runs are loaded, after a failure, and once it is to end."""
    reason = service_of(request).unready
    return plain({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)


@open_router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """What was counted, in Prometheus' text format: no texts, users or items; names of runs, tasks and labels."""
    return PlainTextResponse(service_of(request).seen.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/info", response_model=Info)
async def info(request: Request) -> Response:
    """The runs with their digests, and the limits."""
    service = service_of(request)
    runs = list(service.registry.runs.values())
    limits = {"rows": service.limits.rows, "body_bytes": service.limits.body, "queue_rows": service.engine.most}
    return plain(
        {
            "version": version("peftrec"),
            "backbone": runs[0].predictor.model.encoder.backbone.digest if runs else None,
            "runs": [
                {"run": of.name, "digest": of.digest, "loaded": of.loaded, "tasks": of.predictor.tasks} for of in runs
            ],
            "limits": limits,
        }
    )


@router.get("/v1/tasks", response_model=Tasks)
async def tasks(request: Request) -> Response:
    """What may be asked, and what a row of each task holds."""
    key = request.state.key
    runs = service_of(request).registry.runs.values()
    return plain({"tasks": [task_info(of, task) for of in runs for task in of.predictor.tasks if key.may(task)]})


def task_info(served: Served, task: str) -> dict[str, Any]:
    """What `TaskInfo` says."""
    predictor = served.predictor
    of = predictor.run.tasks[task]
    return {
        "task": task,
        "run": served.name,
        "kind": of.config.kind,
        "question": of.kind.question,
        "keys": predictor.keys(task),
        "example": predictor.example(task),
        "ranks": predictor.ranks(task),
        "classes": predictor.run.described[task]["classes"],
    }
