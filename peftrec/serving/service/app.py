"""The ASGI app: its endpoints, and around every request an id, a line in the log, and no traceback to the outside."""

import re
import time
import uuid
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peftrec.serving.service import embeddings, feedback, health, inference, log, page, predicting, ranking, repository
from peftrec.serving.service.errors import add_handlers, error_answer
from peftrec.serving.service.state import Service

_KEY = HTTPBearer(auto_error=False, description="a key, where the service asks for keys")  # for OpenAPI: see `bodies`
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def make_app(service: Service) -> FastAPI:
    """The app around a service. Its documents are `/openapi.json`; no page of it loads anything from elsewhere."""
    app = FastAPI(
        title="peftrec",
        version=version("peftrec"),
        description="Recommendation tasks over one frozen language model.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(health.open_router)
    app.include_router(page.router)
    for part in (health, predicting, ranking, feedback, embeddings, inference, repository):
        app.include_router(part.router, dependencies=[Depends(_KEY)])
    add_handlers(app)
    app.add_middleware(_Around)
    return app


class _Around:
    """An id a request (its own, where well formed), times, one line in the log, and 500 for errors of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, status = Request(scope, receive), 0
        given = request.headers.get("x-request-id", "")
        state = request.state
        state.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        state.begun, state.noted, state.error_type, state.key = time.perf_counter(), {}, None, None

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = state.request_id
                if scope["app"].state.service.stage == "draining":  # else it would ask here again once this has ended
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, answered)
        except Exception as error:
            log.failure(error, request_id=state.request_id)
            if not status:
                said = f"an error of the service's own; its log has it under {state.request_id}"
                await error_answer(request, 500, said, "internal")(scope, receive, answered)
        finally:
            _tell(request, status)


def _tell(request: Request, status: int) -> None:
    """Log and count a request that ended."""
    state, scope = request.state, request.scope
    service: Service = scope["app"].state.service
    seconds = {name: state.noted.pop(name) for name in ("queue", "encode", "head") if name in state.noted}
    seconds["whole"] = time.perf_counter() - state.begun
    endpoint: str = getattr(scope.get("route"), "path", "none")
    times: dict[str, Any] = {f"{name}_ms": round(1e3 * value, 3) for name, value in seconds.items()}
    log.write(
        "request",
        request_id=state.request_id,
        method=request.method,
        endpoint=endpoint,
        status=status,
        error_type=state.error_type,
        key=state.key and state.key.name,
        **state.noted,
        **times,
    )
    service.seen.answered(endpoint, state.noted.get("task"), status, seconds)
    if state.error_type is not None:
        service.seen.rejected(state.error_type)
