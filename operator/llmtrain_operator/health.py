"""``/metrics``, ``/readyz`` (both lists are in) and ``/healthz`` (the loops move)."""

from __future__ import annotations

import time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from .kube.reflector import PodReflector
from .metrics import OperatorMetrics

STALE_SECONDS = 600.0
"""No list, event or bookmark for so long means that the watch is dead; bookmarks come each minute."""


def application(reflector: PodReflector, metrics: OperatorMetrics) -> web.Application:
    """The plain HTTP side."""

    async def ready(_: web.Request) -> web.Response:
        if reflector.synced.is_set():
            return web.Response(text="ok")
        return web.Response(status=503, text="the first pod list is not in yet")

    async def live(_: web.Request) -> web.Response:
        silent = time.monotonic() - reflector.last_heard
        if silent > STALE_SECONDS:
            return web.Response(status=503, text=f"nothing heard of pods for {silent:.0f} s")
        return web.Response(text="ok")

    async def series(_: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/readyz", ready)
    app.router.add_get("/healthz", live)
    app.router.add_get("/metrics", series)
    return app
