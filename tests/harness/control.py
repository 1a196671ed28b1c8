"""The real engine over the API in memory: what the unit tests of several jobs and strangers share."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from harness.jobs import SETTINGS, manifest
from llmtrain_api.names import (
    API_VERSION,
    KIND,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    LABEL_RANK,
    MANAGER,
    PLURAL,
    TOKEN_AUDIENCE,
)
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.reconcile import Reconciler
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.api import ClusterApi, Object
from llmtrain_operator.kube.jobs import JobStore
from llmtrain_operator.kube.reflector import JobReflector, PodReflector
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.notifications.notifier import Notifier
from llmtrain_operator.notifications.post import HttpPost, Post
from llmtrain_operator.progress.auth import PodIdentity
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.tracing.source import Traces
from llmtrain_operator.types import PlanSettings, Pod

DEADLINE_SECONDS = 30.0


async def eventually(what: str, holds: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
    """Wait until something holds, or fail with its name."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, what
        await asyncio.sleep(0.01)
    return found


def pod_body(name: str, labels: dict[str, str], owner: Object | None = None) -> Object:
    """A pod as anybody may write it."""
    meta: Object = {"name": name, "labels": labels}
    if owner is not None:
        meta["ownerReferences"] = [owner]
    return {"kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "trainer", "image": "x"}]}}


def labels_of(uid: str, attempt: int = 0, rank: int = 0, job: str = "tiny") -> dict[str, str]:
    """What a worker of that job carries."""
    return {
        LABEL_MANAGED_BY: MANAGER,
        LABEL_JOB: job,
        LABEL_JOB_UID: uid,
        LABEL_ATTEMPT: str(attempt),
        LABEL_RANK: str(rank),
    }


def owner_of(uid: str, name: str = "tiny") -> Object:
    """An owner reference to that job."""
    return {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "controller": True}


def jwt(pod: PodIdentity, audience: str = TOKEN_AUDIENCE) -> str:
    """An unsigned token with the claims of a bound one."""
    bound = {"namespace": pod.namespace, "pod": {"name": pod.name, "uid": pod.uid}}
    claims = {"aud": [audience], "kubernetes.io": bound}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)
    ]
    return ".".join([*parts, "signature"])


class Control:
    """The parts that `run.operate` puts together, but HTTP and Kopf."""

    def __init__(
        self,
        memory: MemoryApi,
        api: ClusterApi | None = None,
        settings: PlanSettings = SETTINGS,
        post: Post | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.memory = memory
        self.api = api or memory
        self.store, self.book, self.queue, self.known = PodStore(), ReportBook(), WorkQueue(), KnownJobs()
        self.reflector = PodReflector(self.api, self.store, self.wake)
        self.jobs = JobStore()
        self.intake = JobReflector(self.api, self.jobs, lambda job: self.queue.add(job.key))
        settings = replace(settings, evidence_seconds=0.05)
        self.notifier = Notifier(
            self.api, post or HttpPost(settings.egress), self.queue.add, settings.egress.secrets
        )
        self.reconciler = Reconciler(
            self.api,
            self.store,
            self.book,
            self.queue,
            settings,
            self.known,
            notices=self.notifier,
            traces=traces,
            jobs=self.jobs,
        )

    def wake(self, pod: Pod) -> None:
        self.queue.add((pod.namespace, pod.job))

    @asynccontextmanager
    async def up(self, workers: int = 2) -> AsyncIterator[Control]:
        work: list[Awaitable[None]] = [
            self.reflector.run(),
            self.intake.run(),
            self.notifier.run(),
            self.reconciler.run(workers, self.reflector.synced, self.intake.synced),
        ]
        tasks = [asyncio.ensure_future(w) for w in work]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def apply(self, name: str = "tiny", namespace: str = "default", **spec: Any) -> str:
        """Create a job. Returns its UID."""
        made = await self.memory.create(PLURAL, namespace, manifest(name, namespace, **spec))
        return str(made["metadata"]["uid"])

    def status(self, name: str = "tiny", namespace: str = "default") -> Object:
        found = self.memory.peek(PLURAL, namespace, name)
        status: Object = (found or {}).get("status", {})
        return status

    def pods(self, namespace: str = "default") -> dict[str, Object]:
        return {
            name: pod
            for (where, name), pod in self.memory._collections["pods"].objects.items()
            if where == namespace
        }

    async def start(self, name: str, namespace: str = "default") -> None:
        """The kubelet runs a pod."""
        self.memory.bind(namespace, name, "node1")
        await self.memory.patch_status("pods", namespace, name, {"status": {"phase": "Running"}})

    async def bring_up(self, *names: str, namespace: str = "default", job: str = "tiny") -> None:
        """Until the gang runs."""
        await eventually("the gang is created", lambda: set(names) <= set(self.pods(namespace)))
        for name in names:
            await self.start(name, namespace)
        await eventually("Running", lambda: self.status(job, namespace).get("phase") == "Running")
