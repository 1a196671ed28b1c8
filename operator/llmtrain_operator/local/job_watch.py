"""Jobs into the queue where Kopf is not: a list and a watch whose every event only wakes a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from llmtrain_api.names import PLURAL

from ..engine.workqueue import Key
from ..kube.api import ApiError, ClusterApi

RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0
log = structlog.get_logger()


class _Named(msgspec.Struct):
    class Meta(msgspec.Struct):
        name: str
        namespace: str

    metadata: Meta


class JobIntake:
    """Lists anew whenever a stream ends, however it ends: nothing is missed for longer than one stream."""

    def __init__(self, api: ClusterApi, wake: Callable[[Key], None], namespace: str = "") -> None:
        self._api = api
        self._wake = wake
        self._namespace = namespace

    async def run(self) -> None:
        """Until cancelled."""
        delay = RETRY_SECONDS
        while True:
            try:
                listing = await self._api.list(PLURAL, self._namespace, "")
                for item in listing.items:
                    self._take(item)
                await self._follow(listing.resource_version)
                # a list alone proves nothing: where watches are refused it is all that works
                delay = RETRY_SECONDS
            except ApiError as error:
                log.warning("job-watch-interrupted", status=error.status, reason=error.message)
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _follow(self, version: str) -> None:
        async for event in self._api.watch(PLURAL, self._namespace, "", version):
            if event.kind == "ERROR":
                return
            if event.kind != "BOOKMARK":
                self._take(event.object)

    def _take(self, raw: bytes) -> None:
        meta = msgspec.json.decode(raw, type=_Named).metadata
        self._wake((meta.namespace, meta.name))
