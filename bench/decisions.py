"""The operator's side of `bench.page`: a process with its engine, that many jobs and an API in memory.

Reports come in as steps are made; each is decided on and written. What a decision takes is measured where it
is made, from the key that the queue gave to the status that is on record, by the clock and in CPU time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from llmtrain_api import ProgressReport
from llmtrain_api.names import API_VERSION, KIND, PLURAL
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.reconcile import Reconciler
from llmtrain_operator.engine.workqueue import Key, WorkQueue
from llmtrain_operator.kube.jobs import JobStore
from llmtrain_operator.kube.reflector import JobReflector, PodReflector
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.types import JobRef, PlanSettings

NAMESPACES = 25
SETTINGS = PlanSettings(trainer_image="trainer:bench", report_url="https://reports", ca_certificate="")
SPEC = {
    "model": {"name": "builtin://tiny-llama"},
    "dataset": {"name": "builtin://python-stdlib"},
    "training": {"maxSteps": 10_000},
}
RUNNING = {
    "phase": "Running",
    "containerStatuses": [
        {
            "name": "trainer",
            "ready": True,
            "restartCount": 0,
            "image": "",
            "imageID": "",
            "state": {"running": {}},
        }
    ],
}


class Measured(Reconciler):
    """The engine, with what each of its decisions took.

    Attributes:
        took: seconds of each since somebody asked, by the clock and of a processor.
    """

    took: list[tuple[float, float]]

    async def reconcile(self, key: Key) -> None:
        """One step of one job."""
        began, worked = time.perf_counter(), time.thread_time()
        await super().reconcile(key)
        self.took.append((time.perf_counter() - began, time.thread_time() - worked))


class Operator:
    """The engine, its API server and its kubelets in one loop."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.api, self.book, self.queue = MemoryApi(), ReportBook(), WorkQueue()
        pods, objects = PodStore(), JobStore()
        self._pods = PodReflector(self.api, pods, lambda ref: self.queue.add((ref.namespace, ref.name)))
        self._objects = JobReflector(self.api, objects, lambda job: self.queue.add(job.key))
        self.engine = Measured(self.api, pods, self.book, self.queue, SETTINGS, KnownJobs(), jobs=objects)
        self.engine.took = []
        self._refs: list[JobRef] = []

    async def run(self, reports: float) -> None:
        """Bring all jobs up, then report so many steps a second, until cancelled."""
        async with asyncio.TaskGroup() as group:
            loops = (
                self._pods.run(),
                self._objects.run(),
                self.engine.run(1, self._pods.synced, self._objects.synced),
            )
            for loop in loops:
                group.create_task(loop)
            await self._apply()
            group.create_task(self._kubelets())
            group.create_task(self._report(reports))

    async def up(self) -> int:
        """How many jobs run."""
        listing = await self.api.list(PLURAL, "", "")
        return sum(orjson.loads(raw).get("status", {}).get("phase") == "Running" for raw in listing.items)

    async def _apply(self) -> None:
        for name, namespace in _places(self._jobs):
            output = {"uri": f"pvc://checkpoints/{name}"}
            body = {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"name": name, "namespace": namespace},
                "spec": {**SPEC, "output": output},
            }
            found = await self.api.create(PLURAL, namespace, body)
            self._refs.append(JobRef(namespace, name, found["metadata"]["uid"]))

    async def _kubelets(self) -> None:
        """Whatever pod comes is on a node, and runs."""
        async for event in self.api.watch("pods", "", "", "0"):
            meta = orjson.loads(event.object)["metadata"]
            if event.kind != "ADDED":
                continue
            self.api.bind(meta["namespace"], meta["name"], "node")
            await self.api.patch_status("pods", meta["namespace"], meta["name"], {"status": RUNNING})

    async def _report(self, reports: float) -> None:
        turn = 0
        while True:
            await asyncio.sleep(1 / reports)
            turn += 1
            ref = self._refs[turn % len(self._refs)]
            step = 1 + turn // len(self._refs)
            found = ProgressReport(
                job_uid=ref.uid, attempt=0, stage="train", step=step, total_steps=10_000, loss=3.0
            )
            if self.book.record(ref, found, datetime.now(UTC)):
                self.queue.add((ref.namespace, ref.name))


def _places(jobs: int) -> Iterator[tuple[str, str]]:
    return ((f"job-{number}", f"team-{number % NAMESPACES}") for number in range(jobs))


def decide(jobs: int, reports: float, told: Any) -> None:
    """The process: says when all jobs run, then each time it is asked what decisions took since then."""

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    async def run() -> None:
        operator = Operator(jobs)
        working = asyncio.create_task(operator.run(reports))
        while await operator.up() < jobs:  # noqa: ASYNC110 - of the whole engine nothing tells it
            await asyncio.sleep(1)
        told.send(jobs)
        while await asyncio.to_thread(told.recv):
            took, operator.engine.took = operator.engine.took, []
            told.send(took)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    asyncio.run(run())
