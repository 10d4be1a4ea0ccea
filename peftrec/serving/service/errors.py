"""Every answer that is an error has one shape: {"error", "error_type", "request_id"}."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from peftrec.errors import RowError, UserError, cut, shown

TYPES = {  # of errors that say no type of their own
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "not_json",
    422: "wrong_value",
    429: "rate_limited",
    500: "internal",
    503: "not_ready",
}


class ErrorAnswer(BaseModel):
    """What every error is answered with."""

    error: str = Field(description="what is wrong: place, rule, value found", examples=["row 2: 'item' is missing"])
    error_type: str = Field(description="the same for programs", examples=["wrong_row"])
    request_id: str = Field(description="as in the header X-Request-Id", examples=["6f1c2f0e9d0b4a53"])


class Refusal(HTTPException):
    """A request that is not answered as it was meant: the status, why in words, and the type for programs."""

    def __init__(
        self, code: int, error: str, kind: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, error, dict(headers or {}))
        self.kind = kind or TYPES[code]


def described(*codes: int) -> dict[int | str, dict[str, Any]]:
    """These errors for OpenAPI."""
    return {code: {"model": ErrorAnswer, "description": TYPES[code].replace("_", " ")} for code in codes}


def error_answer(
    request: Request, code: int, error: str, kind: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer; the request's line in the log gets the type."""
    request.state.error_type = kind
    body = {"error": error, "error_type": kind, "request_id": request.state.request_id}
    return JSONResponse(body, code, dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Let the app answer so whatever is raised."""

    def refused(request: Request, error: HTTPException) -> Response:
        kind = error.kind if isinstance(error, Refusal) else TYPES.get(error.status_code, "error")
        said = (
            error.detail if isinstance(error, Refusal) else f"{error.detail}: {request.method} {cut(request.url.path)}"
        )
        return error_answer(request, error.status_code, said, kind, error.headers)

    def invalid(request: Request, error: RequestValidationError) -> Response:
        return error_answer(request, 422, _told(error), "wrong_value")

    def wrong(request: Request, error: UserError) -> Response:
        return error_answer(request, 422, str(error), "wrong_row" if isinstance(error, RowError) else "wrong_value")

    app.add_exception_handler(HTTPException, refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(UserError, wrong)  # type: ignore[arg-type]


def _told(error: RequestValidationError) -> str:
    """The first mistake: key, rule, value found."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    found = "" if first["type"] == "missing" else f"; found {shown(first.get('input'))}"
    return f"{cut(place)}: {first['msg']}{found}"
