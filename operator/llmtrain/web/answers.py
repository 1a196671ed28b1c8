"""Answers of the page's server: JSON, files and refusals; and numbers of a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.listener import request_is_in
from llmtrain_operator.progress.auth import Busy

from ..errors import Failed, Forbidden, LlmtrainError, Mistake, NotFound, TimedOut, Unreachable
from .guards import Refusal

STATIC = Path(__file__).parent / "static"
STATUSES: tuple[tuple[type[LlmtrainError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (Unreachable, 503),
    (TimedOut, 504),
    (Mistake, 422),
    (Failed, 502),
)


def status_of(error: LlmtrainError) -> int:
    """The HTTP status that tells of an error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def later(error: ApiError | Busy) -> Refusal:
    """Why somebody cannot be let in now, but may be a moment later."""
    if isinstance(error, Busy):
        return Refusal(429, str(error))
    return Refusal(503, f"the API server cannot be asked now: {error.message}")


def number(request: web.Request, name: str, default: Any) -> Any:
    """A number of a query, from -1 on.

    Raises:
        Refusal: it is none.
    """
    text = request.query.get(name, "")
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise Refusal(400, f"{name}: got {text[:40]!r}; use a whole number")
    return int(text)


def json_answer(found: object) -> web.Response:
    """An answer with that in it, compressed where the browser takes it so."""
    response = web.Response(body=msgspec.json.encode(found), content_type="application/json")
    response.enable_compression()
    return response


async def file(name: str, request: web.Request) -> web.StreamResponse:
    """One of the page's own files."""
    request_is_in(request.transport)
    response = web.FileResponse(STATIC / name)
    # looked at again each time: a page must not be older than its server
    response.headers["Cache-Control"] = "no-cache"
    return response


async def alive(request: web.Request) -> web.Response:
    """The server answers: whether it knows any job is another question."""
    request_is_in(request.transport)
    return web.Response(text="ok")
