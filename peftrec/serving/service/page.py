"""The page at `/`: ask a task, see its answer, two runs side by side. Its files are the package's own, and call nobody
else; it asks the service as every client does, with the key that is typed into it."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

STATIC = Path(__file__).with_name("static")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)  # needs no key: it says nothing of what is served


def _file(name: str) -> Response:
    path = STATIC / name
    return Response(path.read_bytes(), headers=HEADERS, media_type=KINDS[path.suffix])


@router.get("/")
async def page() -> Response:
    """The page."""
    return _file("page.html")


@router.get("/page.css")
async def style() -> Response:
    """How it looks."""
    return _file("page.css")


@router.get("/page.js")
async def script() -> Response:
    """What it does."""
    return _file("page.js")
