"""Server-sent events: an open page is told of every job that it may see, now and as it changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import msgspec
from aiohttp import web

from .board import Board, Key, Subscription
from .guards import Refusal

STREAMS, STREAMS_OF_ONE = 400, 12
"""Open at once: of all users, and of one of them."""
HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 0.5
"""How often it is looked whether the page is still there: its place is another's then."""
WRITE_SECONDS = 20.0
"""A page that does not take what it is told for so long is dropped; it comes again by itself."""
AGAIN_SECONDS = 60.0
"""After this time it is asked again who they are and what they may see."""
GATHER_SECONDS = 0.2
"""Changes are gathered for so long before they are told."""
Seen = Callable[[], Awaitable[Callable[[str], bool]]]
"""Asks what the user may see now: a test of namespaces. Raises `Refusal` when they may see nothing more."""


class Streams:
    """All open streams.

    Args:
        board: what they tell of.
    """

    def __init__(self, board: Board) -> None:
        self._board, self._open = board, Counter[str]()

    @property
    def open(self) -> int:
        """Streams at this moment."""
        return self._open.total()

    async def serve(self, request: web.Request, user: str, seen: Seen) -> web.StreamResponse:
        """Tell until the page goes away.

        Raises:
            Refusal: there are too many, or the user may see nothing.
        """
        if self.open >= STREAMS or self._open[user] >= STREAMS_OF_ONE:
            raise Refusal(429, "too many pages are open: close some, this one tries again by itself")
        self._open[user] += 1
        subscription = self._board.subscribe()
        try:
            visible = await seen()
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError, Refusal):
                await self._tell(request, response, subscription, visible, seen)
        finally:
            self._board.unsubscribe(subscription)
            self._open[user] -= 1
        return response

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        subscription: Subscription,
        visible: Callable[[str], bool],
        seen: Seen,
    ) -> None:
        loop = asyncio.get_running_loop()
        await _write(response, self._all(visible))
        again, beat = loop.time() + AGAIN_SECONDS, loop.time() + HEARTBEAT_SECONDS
        while not subscription.dropped and request.transport is not None:
            keys = await subscription.changed(LOOK_SECONDS)
            if loop.time() >= again:
                visible, again = await seen(), loop.time() + AGAIN_SECONDS
            news = self._news(keys, visible)
            if news or loop.time() >= beat:
                await _write(response, news or b": still here\n\n")
                beat = loop.time() + HEARTBEAT_SECONDS
            if news:
                await asyncio.sleep(GATHER_SECONDS)

    def _all(self, visible: Callable[[str], bool]) -> bytes:
        rows = [entry.row for key, entry in self._board if visible(key[0])]
        return b"event: jobs\ndata: [" + b",".join(rows) + b"]\n\n"

    def _news(self, keys: Iterable[Key], visible: Callable[[str], bool]) -> bytes:
        told = []
        for key in keys:
            if not visible(key[0]):
                continue
            entry = self._board.get(key)
            if entry is None:
                told.append(b"event: gone\ndata: " + msgspec.json.encode(key) + b"\n\n")
            else:
                told.append(b"event: job\ndata: " + entry.row + b"\n\n")
        return b"".join(told)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)
