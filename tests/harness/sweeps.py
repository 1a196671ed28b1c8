"""Sweeps in an API in memory: whoever runs them dies at a write of the test's choice, and another goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from llmtrain_api.names import PLURAL, SWEEP_PLURAL
from llmtrain_operator.kube.api import Object
from llmtrain_operator.kube.jobs import JobStore
from llmtrain_operator.kube.reflector import JobReflector
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.sweeps.controller import Sweeps

NAME = "lr"
"""Of the sweep."""
Ends = Mapping[str, Object]
"""Statuses in which jobs end, by name."""


class DiesAtWrite(MemoryApi):
    """An API whose caller dies before or after its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes, self.dies_at, self.before = 0, -1, True
        self.died = asyncio.Event()

    async def _write(self, carry_out: Callable[[], Awaitable[Object]]) -> Object:
        self.writes += 1
        dies = self.writes == self.dies_at
        if dies and self.before:
            self.died.set()
            await asyncio.Event().wait()
        found = await carry_out()
        if dies:
            self.died.set()
            await asyncio.Event().wait()
        return found

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        return await self._write(lambda: MemoryApi.create(self, resource, namespace, body))

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        if resource == PLURAL:
            return await super().patch_status(resource, namespace, name, patch)
        return await self._write(lambda: MemoryApi.patch_status(self, resource, namespace, name, patch))


@asynccontextmanager
async def operating(api: MemoryApi) -> AsyncIterator[None]:
    jobs = JobStore()
    sweeps = Sweeps(api, jobs)
    intake = JobReflector(api, jobs, lambda _: sweeps.wake())
    loops = (intake.run(), sweeps.follow(), sweeps.run(api, intake.synced))
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def train(api: MemoryApi, ends: Ends) -> None:
    """What the rest of the operator does: each job ends, some time after it is there."""
    for name, end in ends.items():
        found = api.peek(PLURAL, "default", name)
        if found is not None and not found.get("status"):
            await api.patch_status(PLURAL, "default", name, {"status": end})


def status(api: MemoryApi) -> Object:
    """What is on record of the sweep."""
    found: Object = (api.peek(SWEEP_PLURAL, "default", NAME) or {}).get("status", {})
    return found


def jobs_of(api: MemoryApi) -> list[Object]:
    """All jobs that were made."""
    return list(api._collections[PLURAL].objects.values())


async def to_the_end(api: MemoryApi, ends: Ends, generation: int = 0) -> None:
    """Wait until the sweep is over, as it stands in that generation or a later one."""
    for _ in range(1500):
        await train(api, ends)
        found = status(api)
        seen = found.get("observedGeneration", 0) >= generation
        if seen and found.get("phase") in ("Succeeded", "Failed"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(status(api))


async def lives(
    manifest: Object, ends: Ends, *, before: bool, then: Object | None = None
) -> AsyncIterator[tuple[int, MemoryApi]]:
    """One sweep after the other, each to its end: the operator dies at the first write, at the second ...

    Args:
        manifest: of the sweep.
        ends: of its jobs.
        before: whether it dies before the write, or after it.
        then: what its spec is edited to once it is over.
    """

    async def whole(api: MemoryApi) -> None:
        await to_the_end(api, ends)
        if then is not None:
            generation = api.replace_spec(SWEEP_PLURAL, "default", NAME, then)["metadata"]["generation"]
            await to_the_end(api, ends, generation)

    calm = DiesAtWrite()
    await MemoryApi.create(calm, SWEEP_PLURAL, "default", manifest)
    async with operating(calm):
        await whole(calm)
    for number in range(1, calm.writes + 1):
        api = DiesAtWrite()
        api.dies_at, api.before = number, before
        await MemoryApi.create(api, SWEEP_PLURAL, "default", manifest)
        async with operating(api):
            over = asyncio.ensure_future(whole(api))
            died = asyncio.ensure_future(api.died.wait())
            await asyncio.wait({over, died}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            died.cancel()
            await asyncio.gather(over, died, return_exceptions=True)
        async with operating(api):
            await whole(api)
        yield number, api
