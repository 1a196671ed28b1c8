"""Keeps the pod store true: list, then watch, for ever.

A gap, an expired version or a server error ends in a new list, whose difference to the store is what was
missed, deletions too. So does time: an event that was lost without a trace costs minutes, not a job.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import msgspec
import structlog

from llmtrain_api.names import LABEL_MANAGED_BY, MANAGER

from ..types import Pod
from .api import ApiError, ClusterApi, WatchEvent
from .pods import decode_pod
from .store import PodStore

SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"
MAX_BACKOFF_SECONDS = 30.0
RELIST_SECONDS = 600.0
log = structlog.get_logger()


class _Version(msgspec.Struct, rename="camel"):
    class Meta(msgspec.Struct, rename="camel"):
        resource_version: str = ""
        uid: str = ""

    metadata: Meta


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class PodReflector:
    """One list and watch over all worker pods.

    Attributes:
        synced: set once the first full list is in; nothing may be planned before.
        last_heard: the event loop's time of the last answer or event.
    """

    def __init__(
        self, api: ClusterApi, store: PodStore, changed: Callable[[Pod], None], namespace: str = ""
    ) -> None:
        self._api = api
        self._store = store
        self._changed = changed
        self._namespace = namespace
        self.synced = asyncio.Event()
        # the loop's clock is this one, and there may be no loop yet
        self.last_heard = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        delay = 0.5
        while True:
            try:
                version = await self._list()
                listed, delay = _now(), 0.5
                while _now() - listed < RELIST_SECONDS:
                    version = await self._watch(version)
            except ApiError as error:
                log.warning("pod-watch-interrupted", status=error.status, reason=error.message)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, MAX_BACKOFF_SECONDS)

    async def _list(self) -> str:
        listing = await self._api.list("pods", self._namespace, SELECTOR)
        pods = [pod for pod in map(_decode, listing.items) if pod is not None]
        for pod in self._store.replace(pods, int(listing.resource_version or 0)):
            self._changed(pod)
        self.last_heard = _now()
        self.synced.set()
        return listing.resource_version

    async def _watch(self, version: str) -> str:
        """Follow one stream to its end. Returns the version to go on from."""
        started, first = _now(), version
        async for event in self._api.watch("pods", self._namespace, SELECTOR, version):
            self.last_heard = _now()
            if event.kind == "ERROR":
                status = msgspec.json.decode(event.object, type=_Status)
                raise ApiError(status.code, "WatchError", status.message)
            version = self._take(event)
        if version == first and _now() - started < 1.0:
            # a server that ends each watch at once must not be asked in a tight loop
            await asyncio.sleep(0.5)
        return version

    def _take(self, event: WatchEvent) -> str:
        meta = msgspec.json.decode(event.object, type=_Version).metadata
        if event.kind == "DELETED":
            pod = self._store.remove(meta.uid, _decode(event.object))
            if pod is not None:
                self._changed(pod)
        elif event.kind in ("ADDED", "MODIFIED"):
            pod = _decode(event.object)
            if pod is not None and self._store.upsert(pod):
                self._changed(pod)
        return meta.resource_version


def _now() -> float:
    return asyncio.get_running_loop().time()


def _decode(raw: bytes) -> Pod | None:
    """A pod of ours; None for one that carries our label but not our others."""
    try:
        return decode_pod(raw)
    except (KeyError, ValueError) as error:
        log.warning("strange-pod-ignored", reason=str(error))
        return None
