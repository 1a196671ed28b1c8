"""Kopf's part: it watches the jobs, and each event only wakes a key. It writes nothing, ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kopf

from llmtrain_api.names import GROUP, PLURAL, VERSION

from .engine.workqueue import WorkQueue
from .kube.http import HttpApi


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


def registry(api: HttpApi, queue: WorkQueue) -> kopf.OperatorRegistry:
    """All handlers."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=api.server, aiohttp_session=api.new_session())

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def wake(namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace and name:
            queue.add((namespace, name))

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
    s.process.ultimate_exiting_timeout = 30
    return s
