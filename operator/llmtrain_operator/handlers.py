"""Kopf's part: it watches the jobs, and each event only wakes a key. It writes nothing, ever.

It has a thread and an event loop of its own. Kopf ends on any error event of a watch but 410, and cancels
every task of its loop when it does: here that ends a watch, which begins anew, and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import kopf
import structlog

from llmtrain_api.names import GROUP, PLURAL, VERSION

from .engine.workqueue import Key
from .kube.http import HttpApi

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A watch that went on for so long is begun anew at once."""
KopfRunner = Callable[[Callable[[Key], None], threading.Event], Coroutine[Any, Any, None]]
"""Runs Kopf in the loop that it is called in: what to wake, and what ends it."""
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


def registry(api: HttpApi, wake_key: Callable[[Key], None]) -> kopf.OperatorRegistry:
    """All handlers."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=api.server, aiohttp_session=api.new_session())

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def wake(namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace and name:
            wake_key((namespace, name))

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

    async def run(wake_key: Callable[[Key], None], stop: threading.Event) -> None:
        await kopf.operator(
            registry=registry(api, wake_key),
            settings=settings(),
            clusterwide=not namespace,
            namespaces=[namespace] if namespace else [],
            stop_flag=stop,
        )

    return run


async def watch_jobs(
    run: KopfRunner,
    wake_key: Callable[[Key], None],
) -> None:
    """Keep Kopf watching until cancelled. It lists all jobs when it begins, so nothing is missed."""
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE_SECONDS
    while True:
        began, reason = loop.time(), "it ended"
        try:
            await _run_once(run, wake_key)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if loop.time() - began > HEALTHY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        log.warning("job-watch-interrupted", reason=reason, seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_PAUSE_SECONDS)


async def _run_once(
    run: KopfRunner,
    wake_key: Callable[[Key], None],
) -> None:
    loop, stop = asyncio.get_running_loop(), threading.Event()

    async def in_thread() -> None:
        try:
            await run(lambda key: _from_thread(loop, wake_key, key), stop)
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


def _from_thread(loop: asyncio.AbstractEventLoop, wake_key: Callable[[Key], None], key: Key) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake_key, key)
