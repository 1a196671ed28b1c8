"""The operator's engine over an API that answers at once: many copies of one job whose gang it brought up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from llmtrain_api.names import PLURAL
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.reconcile import Reconciler
from llmtrain_operator.engine.workqueue import Key, WorkQueue
from llmtrain_operator.kube.api import ApiError, ClusterApi, Listing, Object, WatchEvent
from llmtrain_operator.kube.jobs import JobStore
from llmtrain_operator.kube.reflector import JobReflector, PodReflector
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.documents import merged
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.serve import background
from llmtrain_operator.types import PlanSettings, Pod

from .operator import job_body

NAMESPACE, SAMPLE = "bench", "b0"
SETTINGS = PlanSettings(trainer_image="trainer:bench", report_url=None, ca_certificate="")
WORKERS = 4
LISTED = "1000000"
"""The version that lists are of: any copy is older, any change newer."""


class Engine:
    """The parts that read, decide and write."""

    def __init__(self, api: ClusterApi) -> None:
        self.store, self.jobs, self.queue, self.known = PodStore(), JobStore(), WorkQueue(), KnownJobs()
        self.pods = PodReflector(api, self.store, self._wake)
        self.intake = JobReflector(api, self.jobs, lambda job: self.queue.add(job.key))
        self.reconciler = Counted(
            api, self.store, ReportBook(), self.queue, SETTINGS, self.known, jobs=self.jobs
        )

    def _wake(self, pod: Pod) -> None:
        self.queue.add((pod.namespace, pod.job))

    @asynccontextmanager
    async def up(self) -> AsyncGenerator[Engine]:
        """At work meanwhile."""
        work = (
            self.pods.run(),
            self.intake.run(),
            self.reconciler.run(WORKERS, self.pods.synced, self.intake.synced),
        )
        async with background(*work):
            yield self


class Counted(Reconciler):
    """Counts its looks at jobs."""

    looks = 0

    async def reconcile(self, key: Key) -> None:
        """One step of one job."""
        self.looks += 1
        await super().reconcile(key)


@dataclass(frozen=True)
class Sample:
    """A job and its pods, as the API holds them: JSON in which names and UIDs are replaced."""

    job: bytes
    pods: tuple[bytes, ...]
    uids: tuple[str, ...]

    def copies(self, number: int) -> tuple[bytes, list[bytes]]:
        """The job of that number, and its pods."""
        texts = [self.job, *self.pods]
        for place, uid in enumerate(self.uids):
            texts = [
                text.replace(uid.encode(), b"%08d-0000-0000-0000-%012d" % (number, place)) for text in texts
            ]
        name = b"b%d" % number
        texts = [re.sub(rb"\bb0\b", name, text) for text in texts]
        return texts[0], texts[1:]


async def sample(nodes: int, *, done: bool) -> Sample:
    """One job whose gang runs, or is over."""
    api = MemoryApi()
    async with Engine(api).up():
        await api.create(PLURAL, NAMESPACE, job_body(SAMPLE, NAMESPACE, nodes))
        names = [f"{SAMPLE}-0-{rank}" for rank in range(nodes)]
        await until(lambda: all(api.peek("pods", NAMESPACE, name) for name in names))
        for rank, name in enumerate(names):
            api.bind(NAMESPACE, name, f"node{rank}")
            await api.patch_status("pods", NAMESPACE, name, {"status": status("running", "Running")})
        await until(lambda: phase(api) == "Running")
        if done:
            for name in reversed(names):
                over = status("terminated", "Succeeded", exitCode=0, reason="Completed")
                await api.patch_status("pods", NAMESPACE, name, {"status": over})
            await until(lambda: phase(api) == "Succeeded")
        found = [api.peek(PLURAL, NAMESPACE, SAMPLE), *(api.peek("pods", NAMESPACE, name) for name in names)]
    held = [one for one in found if one is not None]
    texts = [orjson.dumps(one) for one in held]
    return Sample(texts[0], tuple(texts[1:]), tuple(one["metadata"]["uid"] for one in held))


def status(state: str, phase: str, **fields: Any) -> Object:
    """A pod's status as its kubelet tells it."""
    one = {"name": "trainer", "image": "x", "imageID": "", "ready": state == "running", "restartCount": 0}
    return {"phase": phase, "containerStatuses": [{**one, "state": {state: fields}}]}


def phase(api: MemoryApi) -> str | None:
    """The sample's."""
    found: str | None = (api.peek(PLURAL, NAMESPACE, SAMPLE) or {}).get("status", {}).get("phase")
    return found


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it does not come.
    """
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@dataclass
class Copies:
    """An API server with that many copies. It counts calls; who watches gets what is told."""

    of: Sample
    count: int
    calls: int = 0
    told: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    written: dict[str, Object] = field(default_factory=dict)

    async def list(self, resource: str, namespace: str, *_: Any, **__: Any) -> Listing:
        """All of them: they are made for whoever asks, and not kept."""
        if resource not in (PLURAL, "pods") or namespace:
            self.calls += 1
            return Listing([], LISTED)
        items: list[bytes] = []
        for number in range(self.count):
            job, pods = self.of.copies(number)
            items += [job] if resource == PLURAL else pods
            await asyncio.sleep(0)
        return Listing(items, LISTED)

    async def watch(self, resource: str, *_: Any, **__: Any) -> AsyncGenerator[WatchEvent]:
        """What is told of pods; nothing else ever changes."""
        while True:
            if resource != "pods":
                await asyncio.Event().wait()
            yield WatchEvent("MODIFIED", await self.told.get())

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Only jobs are there."""
        self.calls += 1
        await asyncio.sleep(0)
        if resource != PLURAL:
            raise ApiError(404, "NotFound", f"no {resource} {namespace}/{name}")
        found: Object = self.written.get(name) or orjson.loads(self.of.copies(int(name[1:]))[0])
        return found

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """Taken as it is."""
        found = await self.get(resource, namespace, name)
        after: Object = merged(found, {"status": patch["status"]})
        after["metadata"]["resourceVersion"] = str(2_000_000 + self.calls)
        self.written[name] = after
        return after

    async def create(self, _: str, __: str, body: Object) -> Object:
        """Taken as it is."""
        self.calls += 1
        await asyncio.sleep(0)
        return body

    async def delete(self, *_: Any, **__: Any) -> None:
        """Nothing is kept of pods."""
        self.calls += 1
