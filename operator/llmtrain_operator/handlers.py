"""Kopf's part: it watches the jobs, and each event goes into the cache of jobs. It writes nothing, ever.

It has a thread and an event loop of its own. Kopf ends on any error event of a watch but 410, and cancels
every task of its loop when it does: here that ends a watch, which begins anew, and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import kopf
import orjson
import structlog

from llmtrain_api.names import GROUP, PLURAL, VERSION

from .kube.api import Listing, ListWatch, Object, WatchEvent
from .kube.http import WATCH_SECONDS, HttpApi

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A watch that went on for so long is begun anew at once."""
Take = Callable[[WatchEvent], None]
KopfRunner = Callable[[Take, threading.Event], Coroutine[Any, Any, None]]
"""Runs Kopf in the loop that it is called in: who takes its events, and what ends it."""
LIST_ANEW = WatchEvent(
    "ERROR", b'{"code": 410, "message": "Kopf began anew: it tells of no deletions before"}'
)
log = structlog.get_logger()


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of the spec on the object."""

    def build(self, **_: Any) -> Any:
        """Nothing to compare."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no handler state on the object."""

    def fetch(self, **_: Any) -> Any:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing to remove."""

    def touch(self, **_: Any) -> None:
        """No dummy patches."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing to hide."""
        return essence


class Forever:
    """Delays between retries of a watch that failed: Kopf gives up when they end, so they never do.

    Iterated anew for each request, hence a class and not a generator.
    """

    def __iter__(self) -> Iterator[float]:
        delay = 1.0
        while True:
            yield delay
            delay = min(delay * 1.6, 30.0)


def registry(api: HttpApi, take: Take) -> kopf.OperatorRegistry:
    """All handlers."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=api.server, aiohttp_session=api.new_session())

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def tell(event: kopf.RawEvent, **_: Any) -> None:
        # objects of Kopf's own first list have no type
        take(WatchEvent(event["type"] or "ADDED", orjson.dumps(event["object"])))

    return found


def settings() -> kopf.OperatorSettings:
    """Kopf as an intake only."""
    s = kopf.OperatorSettings()
    s.persistence.diffbase_storage = NoDiffBase()
    s.persistence.progress_storage = NoProgress()
    s.peering.standalone = True
    s.scanning.disabled = True
    s.posting.enabled = False
    s.queueing.idle_timeout = 0.5
    s.queueing.exit_timeout = 2
    s.watching.server_timeout = 300
    s.watching.client_timeout = 330
    s.watching.connect_timeout = 5
    s.watching.reconnect_backoff = 0.5
    s.networking.request_timeout = 30
    s.networking.connect_timeout = 5
    s.networking.error_backoffs = Forever()
    # it would kill the process after Kopf has ended, and here it begins anew
    s.process.ultimate_exiting_timeout = None
    return s


def kopf_runner(api: HttpApi, namespace: str) -> KopfRunner:
    """Kopf over all namespaces, or over one."""

    async def run(take: Take, stop: threading.Event) -> None:
        await kopf.operator(
            registry=registry(api, take),
            settings=settings(),
            clusterwide=not namespace,
            namespaces=[namespace] if namespace else [],
            stop_flag=stop,
        )

    return run


class KopfWatch:
    """The jobs for a reflector: it lists them itself, and hears of changes through Kopf.

    Kopf tells nothing of what was deleted while it did not watch, so whenever it has begun anew the reflector
    is made to list anew as well.
    """

    def __init__(self, api: ListWatch, run: KopfRunner) -> None:
        self._api, self._run = api, run
        self._events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._lives = 0

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one job."""
        return await self._api.get(resource, namespace, name)

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All jobs."""
        return await self._api.list(resource, namespace, selector)

    async def watch(self, *_: str) -> AsyncGenerator[WatchEvent]:
        """What Kopf tells, for some minutes; what it tells between two streams begins the next."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                while True:
                    yield await self._events.get()

    async def run(self) -> None:
        """Keep Kopf watching until cancelled."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_SECONDS
        while True:
            began, reason = loop.time(), "it ended"
            try:
                await self._run_once()
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
            if loop.time() - began > HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.warning("job-watch-interrupted", reason=reason, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _run_once(self) -> None:
        loop, stop = asyncio.get_running_loop(), threading.Event()
        self._lives += 1
        again = self._lives > 1

        def take(event: WatchEvent) -> None:
            nonlocal again
            if again:
                again = False
                self._events.put_nowait(LIST_ANEW)
            self._events.put_nowait(event)

        async def in_thread() -> None:
            try:
                await self._run(lambda event: _from_thread(loop, take, event), stop)
            finally:
                # a thread of Kopf's waits for it, and would be waited for
                stop.set()

        thread = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(in_thread())))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([thread])
            raise


def _from_thread(loop: asyncio.AbstractEventLoop, take: Take, event: WatchEvent) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, event)
