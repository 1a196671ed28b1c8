"""One life of the operator's process: the product's own engine, started cold, killed without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from harness.jobs import SETTINGS
from harness.simulation.chaos import FaultyApi
from harness.simulation.monitor import Monitor
from harness.simulation.receiver import Line

from llmtrain_operator.egress import Egress
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.leading import take_over
from llmtrain_operator.engine.pod_words import PodWords
from llmtrain_operator.engine.reconcile import Reconciler
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.jobs import JobStore, SeenJob
from llmtrain_operator.kube.reflector import JobReflector, PodReflector
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.notifications.notifier import Notifier
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.runtimes.catalogue import Runtimes
from llmtrain_operator.scheduling.providers import gang_scheduler
from llmtrain_operator.types import Pod, Provider

LIMITED = replace(
    SETTINGS, start_seconds=600.0, provider=Provider.KUEUE, egress=Egress(allow=("receiver.example",))
)


class Operator:
    """All that `run.operate` puts together, but the HTTP servers and Kopf."""

    def __init__(self, api: FaultyApi, clock: Callable[[], datetime], monitor: Monitor) -> None:
        self.api = api
        api.deleting = monitor.deleted_by_operator
        self.store, self.jobs = PodStore(), JobStore()
        self.book, self.queue = ReportBook(), WorkQueue()
        self.reflector = PodReflector(api, self.store, self.wake)
        self.intake = JobReflector(api, self.jobs, self.wake_job)
        self.gangs = gang_scheduler(api, self.store, LIMITED, self.queue.add, clock=clock)
        self.runtimes = Runtimes(api, self.queue.add)
        self.notifier = Notifier(api, Line(monitor.receiver, lambda: api.dead), self.queue.add)
        self.reconciler = Reconciler(
            api,
            self.store,
            self.book,
            self.queue,
            LIMITED,
            KnownJobs(),
            clock,
            scheduler=self.gangs,
            words=PodWords(api),
            runtimes=self.runtimes,
            notices=self.notifier,
            jobs=self.jobs,
        )
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stand_by(loop)
        self.lead(loop)

    def stand_by(self, loop: asyncio.AbstractEventLoop) -> None:
        """It knows everything and does nothing."""
        for work in (self.reflector.run(), self.intake.run(), self.runtimes.run()):
            self.tasks.append(loop.create_task(work))

    def lead(self, loop: asyncio.AbstractEventLoop) -> None:
        """The Lease is its own."""

        async def reconcile() -> None:
            await take_over((self.reflector, self.intake), self.jobs, self.queue)
            await self.reconciler.run(2, self.reflector.synced, self.intake.synced)

        for work in (self.gangs.run(), self.notifier.run(), reconcile()):
            self.tasks.append(loop.create_task(work))

    def wake(self, pod: Pod) -> None:
        self.queue.add((pod.namespace, pod.job))

    def wake_job(self, job: SeenJob) -> None:
        self.queue.add(job.key)

    def kill(self) -> None:
        """As kill -9 does: nothing that it would still do happens."""
        self.api.dead = True
        for task in self.tasks:
            task.cancel()
        self.queue.add_after = lambda *_: None  # type: ignore[method-assign]
