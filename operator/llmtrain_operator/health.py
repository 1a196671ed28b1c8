"""``/metrics``, ``/readyz`` (pods are known, news comes in) and ``/healthz`` (the event loop turns)."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from .kube.reflector import PodReflector
from .listener import request_is_in
from .metrics import OperatorMetrics

STALE_SECONDS = 600.0
"""No list, event or bookmark for so long means that the watch is dead; bookmarks come each minute."""
PAGE_SECONDS = 1.0
"""How long a page of /metrics is good for: whoever asks in a loop gets the same one."""


def application(reflector: PodReflector, metrics: OperatorMetrics) -> web.Application:
    """The plain HTTP side."""
    page = MetricsPage(metrics)

    async def ready(_: web.Request) -> web.Response:
        if not reflector.synced.is_set():
            return web.Response(status=503, text="the first pod list is not in yet")
        silent = time.monotonic() - reflector.last_heard
        if silent > STALE_SECONDS:
            return web.Response(status=503, text=f"nothing heard of pods for {silent:.0f} s")
        return web.Response(text="ok")

    async def live(_: web.Request) -> web.Response:
        # that this runs is the answer: an API server that is away is not cured by a new process
        return web.Response(text="ok")

    async def series(_: web.Request) -> web.Response:
        return web.Response(body=await page.get(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[one_answer])
    app.router.add_get("/readyz", ready)
    app.router.add_get("/healthz", live)
    app.router.add_get("/metrics", series)
    return app


@web.middleware
async def one_answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A connection for each request, as one that stays open could be anybody's."""
    request_is_in(request.transport)
    response = await handler(request)
    response.force_close()
    return response


class MetricsPage:
    """The page of /metrics, made in a thread: thousands of jobs take seconds that no job should wait."""

    def __init__(self, metrics: OperatorMetrics) -> None:
        self._metrics = metrics
        self._making = asyncio.Lock()
        self._page = b""
        self._made = float("-inf")

    async def get(self) -> bytes:
        """The newest page; one at a time is made."""
        async with self._making:
            if time.monotonic() - self._made > PAGE_SECONDS:
                self._page = await asyncio.to_thread(generate_latest, self._metrics.registry)
                self._made = time.monotonic()
            return self._page
