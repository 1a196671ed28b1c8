"""What an API server, or a proxy in its place, answered."""

from __future__ import annotations

import random

import aiohttp
import msgspec
import orjson

from .api import ApiError, WatchEvent

MAX_RETRY_AFTER_SECONDS = 60.0
"""A proxy that asks for an hour must not stop a worker for an hour."""


class RawItems(msgspec.Struct):
    """A list whose items stay undecoded."""

    class Meta(msgspec.Struct, rename="camel"):
        """``metadata`` of a list."""

        resource_version: str = ""
        continue_: str = msgspec.field(default="", name="continue")

    metadata: Meta
    items: list[msgspec.Raw]


class RawEvent(msgspec.Struct):
    """A watch line whose object stays undecoded."""

    type: str
    object: msgspec.Raw


def retry_seconds(error: ApiError, delay: float) -> float:
    """How long to wait before the call is made again: what the server asked for, within reason."""
    wait = delay if error.retry_after is None else min(error.retry_after, MAX_RETRY_AFTER_SECONDS)
    return wait * random.uniform(0.8, 1.2)


def no_answer(content: bytes) -> ApiError:
    """What a proxy sends in the API server's place is trouble that passes, and no fault of ours."""
    shown = content[:100].decode(errors="replace")
    return ApiError(502, "NoAnswer", f"the answer is none of an API server: {shown!r}")


def as_error(response: aiohttp.ClientResponse, content: bytes) -> ApiError:
    """The server's ``Status`` object, or whatever else it sent."""
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = {}
    status = status if isinstance(status, dict) else {}
    retry = response.headers.get("Retry-After", "")
    return ApiError(
        response.status,
        str(status.get("reason", response.reason or "")),
        str(status.get("message", content[:500].decode(errors="replace"))),
        float(retry) if retry.isdecimal() else None,
    )


def as_event(line: bytes) -> WatchEvent:
    """One line of a watch."""
    try:
        event = msgspec.json.decode(line, type=RawEvent)
    except ValueError as error:
        raise no_answer(line) from error
    return WatchEvent(event.type, bytes(event.object))
