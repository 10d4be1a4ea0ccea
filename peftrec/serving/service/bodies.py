"""What of a request is read, and how: its key first, then a body of so many bytes in so many seconds, strict JSON."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from peftrec.errors import UserError
from peftrec.machine.files import finite, is_deep, not_a_number
from peftrec.machine.jsonl import no_repeats
from peftrec.serving.service.errors import Refusal, described

SECONDS = 20.0  # in which a body must have come
LETTERS = 20_000  # of a text at most; models read the first hundreds of words


class Guarded(APIRoute):
    """A route whose requests have a key, and bodies within bounds, before anything of them is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own way of reading requests, over ours."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            service = request.app.state.service
            service.keys.check_host(_host(request))
            request.state.key = service.keys.admit(request.headers.get("authorization"))
            return await answer(_Checked(request.scope, request.receive, service.limits.body))

        return handle


def _host(request: Request) -> str | None:
    """The host that a request names; what is no name, for which Starlette takes the server's own, as it stands."""
    given = request.headers.get("host")
    return request.url.hostname if given is None or given.lower() == request.url.netloc.lower() else given


class _Checked(Request):
    def __init__(self, scope: Any, receive: Any, most: int) -> None:
        super().__init__(scope, receive)
        self._most = most

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._check_heads()
            try:
                async with asyncio.timeout(SECONDS):
                    self._body = await self._read()
            except TimeoutError:
                raise Refusal(408, f"the body did not come in {SECONDS:g} seconds", headers=_LAST) from None
            except ClientDisconnect:
                raise Refusal(400, "the client left", "client_left") from None
        return self._body

    async def json(self) -> Any:
        return strict_json(await self.body())

    def _check_heads(self) -> None:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"the body is JSON: send Content-Type: application/json; found {kind[:80]!r}")
        length = self.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > self._most):
            self._too_large()

    async def _read(self) -> bytes:
        parts, size = [], 0
        async for part in self.stream():
            size += len(part)
            if size > self._most:
                self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> None:
        raise Refusal(413, f"a body has at most {self._most:,} bytes", headers=_LAST)


_LAST = {"Connection": "close"}  # what of the body still comes is not read


def strict_json(content: bytes | str) -> Any:
    """The value of a JSON text. Raises Refusal: 400 where it is none, 413 where it is deep or a text in it long."""
    try:
        text = content if isinstance(content, str) else content.decode()
        value = json.loads(text, parse_constant=not_a_number, parse_float=finite, object_pairs_hook=no_repeats)
    except RecursionError:
        raise Refusal(413, "the JSON is nested too deep") from None
    except (UserError, ValueError) as error:  # not UTF-8, or not JSON
        raise Refusal(400, f"not JSON: {error}", "not_json") from None
    if is_deep(value):
        raise Refusal(413, "the JSON is nested too deep")
    _check_texts(value)
    return value


def _check_texts(value: Any) -> None:
    """Raise Refusal for a text that is too long, or has halves of surrogate pairs, which are no Unicode."""
    level = [value]
    while level:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                if len(one) > LETTERS:
                    raise Refusal(413, f"a text has at most {LETTERS:,} letters; found {len(one):,}")
                if not one.isascii() and any("\ud800" <= letter <= "\udfff" for letter in one):
                    raise Refusal(400, "not JSON: a text holds half of a surrogate pair", "not_json")
            elif isinstance(one, dict):
                inner += [*one, *one.values()]
            elif isinstance(one, list):
                inner += one
        level = inner


def asking_router(tag: str) -> APIRouter:
    """A router of endpoints that ask a task something: guarded, with what may be answered instead."""
    answers = described(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)
    return APIRouter(tags=[tag], route_class=Guarded, responses=answers)
