"""Keeps sweeps going: looks at those that are not over whenever something changes, and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from llmtrain_api.names import PLURAL, SWEEP_PLURAL

from ..engine.merge_patch import merge_patch
from ..kube.api import ApiError, ClusterApi
from ..kube.jobs import JobStore
from ..kube.reflector import Reflector
from ..scheduling.cluster import Objects
from ..types import Manifest
from .objects import SweepObject, decode_sweep, seen_sweep, sweep_of
from .plan import is_over, plan

TICK_SECONDS = 15.0
TOGETHER_SECONDS = 0.5
"""What changes within so long is one look."""
log = structlog.get_logger()


class Sweeps:
    """All sweeps. `follow` keeps them known, `run` acts.

    Args:
        api: to read.
        jobs: jobs that are known.
        namespace: only sweeps of it; empty = all.
        clock: the current moment, UTC.
    """

    def __init__(
        self,
        api: ClusterApi,
        jobs: JobStore,
        namespace: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs, self._clock = jobs, clock
        self._known: Objects[SweepObject] = Objects()
        self._news = asyncio.Event()
        self._reflector = Reflector(
            api, SWEEP_PLURAL, "", decode_sweep, self._known, lambda _: self.wake(), namespace
        )

    def wake(self) -> None:
        """Something has changed, a job perhaps."""
        self._news.set()

    async def follow(self) -> None:
        """Know them, until cancelled."""
        await self._reflector.run()

    async def run(self, api: ClusterApi, *synced: asyncio.Event) -> None:
        """Act, until cancelled.

        Args:
            api: to write with, as the leader alone may.
            synced: set once all jobs are known.
        """
        for listed in (*synced, self._reflector.synced):
            await listed.wait()
        while True:
            for found in list(self._known.items.values()):
                await self._look(api, found)
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._news.wait()
            await asyncio.sleep(TOGETHER_SECONDS)

    async def _look(self, api: ClusterApi, found: SweepObject) -> None:
        """One sweep, one step. What did not go well is tried again with the next look."""
        try:
            await self._step(api, found)
        except ApiError as error:
            log.warning("sweep-retry", sweep=f"{found.namespace}/{found.name}", reason=str(error))
        except Exception:
            # one sweep's bug must not stop the others
            log.exception("sweep-failed", sweep=f"{found.namespace}/{found.name}")

    async def _step(self, api: ClusterApi, found: SweepObject) -> None:
        if found.deletion_deadline is not None or is_over(found.raw["spec"], found.generation, found.status):
            return
        decided = plan(seen_sweep(found, self._jobs), self._clock())
        patch = merge_patch(found.raw.get("status") or {}, decided.status.to_json())
        if patch:
            meta = {"resourceVersion": str(found.resource_version)}
            written = await api.patch_status(
                SWEEP_PLURAL, found.namespace, found.name, {"metadata": meta, "status": patch}
            )
            news = sweep_of(written)
            if news is not None:
                self._known.upsert(news)
        for job in decided.jobs:
            await self._make(api, found, job)

    async def _make(self, api: ClusterApi, found: SweepObject, job: Manifest) -> None:
        name = job["metadata"]["name"]
        try:
            # it is heard of by the watch, as all jobs are: what is known before that is not looked at
            await api.create(PLURAL, found.namespace, job)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                # made before, and not heard of yet; whose it is, is looked at with the next news
                return
            raise
        log.info("created", sweep=f"{found.namespace}/{found.name}", resource=PLURAL, name=name)
