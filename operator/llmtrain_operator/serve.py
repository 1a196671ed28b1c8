"""What a program of several servers and loops needs: they come up together and go down together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from aiohttp import web

from .listener import LimitedListener, Limits


class Servers:
    """HTTP servers that go down together."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []
        self._listeners: list[LimitedListener] = []
        self._closes: list[Callable[[], Awaitable[None]]] = []

    def closes(self, close: Callable[[], Awaitable[None]]) -> None:
        """Something that a server uses: it is closed after all of them."""
        self._closes.append(close)

    async def add(
        self, app: web.Application, port: int, tls: ssl.SSLContext | None, host: str | None = None
    ) -> int:
        """Serve on every address of the pod, or on one. Returns the port, which 0 leaves to the system."""
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port=port, ssl_context=tls).start()
        return int(runner.addresses[0][1])

    async def add_limited(
        self,
        app: web.Application,
        port: int,
        tls: ssl.SSLContext | None,
        limits: Limits | None = None,
        host: str | None = None,
    ) -> int:
        """Serve to strangers: what they can hold open is bounded. Returns the port."""
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None
        listener = LimitedListener(runner.server, tls, limits or Limits())
        self._listeners.append(listener)
        return await listener.start(port, host)

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for listener in self._listeners:
            await listener.close()
        for runner in self._runners:
            await runner.cleanup()
        for close in self._closes:
            await close()


@asynccontextmanager
async def background(*loops: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Event]:
    """Run loops that must never end. Yields an event that is set when one does.

    Raises:
        Exception: what the loop that ended raised, after the body is through.
    """
    ended = asyncio.Event()
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
