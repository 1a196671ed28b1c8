"""The queue over an API: it follows from the jobs, and keeps what it let in until that is on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from harness.control import eventually
from harness.jobs import SETTINGS, manifest

from llmtrain_api import Attempt, Job, JobStatus, Phase, changed
from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.api import ApiError, Listing
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.scheduling.default import OwnQueue


class Cluster(MemoryApi):
    """Nodes of 8 CPUs; some kinds may not be listed."""

    def __init__(self, *nodes: str, denied: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.names, self.denied = nodes, denied
        self.woken: list[tuple[str, str]] = []
        self.pods = PodStore()

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        if resource in self.denied:
            raise ApiError(403, "Forbidden", f"{resource} is forbidden")
        return await super().list(resource, namespace, selector)

    async def job(self, name: str, cpu: str = "8", nodes: int = 1, **spec: Any) -> Job:
        body = manifest(name, nodes=nodes, resources={"cpu": cpu, "memory": "1Gi"}, **spec)
        return Job.model_validate(await self.create(PLURAL, "default", body))

    @asynccontextmanager
    async def queue(self, **settings: Any) -> AsyncIterator[OwnQueue]:
        allocatable = {"cpu": "8", "memory": "64Gi", "pods": "10"}
        for name in self.names:
            if self._collections["nodes"].objects.get(("", name)) is None:
                await self.create(
                    "nodes", "", {"metadata": {"name": name}, "status": {"allocatable": allocatable}}
                )
        found = OwnQueue(self, self.pods, SETTINGS, self.woken.append, **settings)
        running = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def answer(queue: OwnQueue, job: Job) -> Any:
    """What it says once it knows the cluster."""
    for _ in range(500):
        found = await queue.decide(job)
        if found.admitted or found.reason:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("it never knew enough")


def with_status(job: Job, phase: Phase, attempt: int | None) -> Job:
    attempts = [] if attempt is None else [Attempt(number=attempt, started_at="2026-01-01T00:00:00Z")]
    return changed(job, status=JobStatus(phase=phase, attempt=attempt, attempts=attempts))


async def test_room_is_kept_for_who_was_let_in_and_is_not_on_record_yet() -> None:
    api = Cluster("n1")
    first, second = await api.job("first"), await api.job("second")
    async with api.queue() as queue:
        assert (await answer(queue, first)).admitted
        assert (await answer(queue, second)).reason == "WaitingForCapacity"
        assert (await answer(queue, first)).admitted, "the same answer again"
        queue.note(with_status(first, Phase.STARTING, 0))
        assert (await answer(queue, second)).reason == "WaitingForCapacity"
        queue.note(with_status(first, Phase.FAILED, 0))
        assert (await answer(queue, second)).admitted, "what is over holds nothing"


async def test_who_waits_is_woken_when_there_is_room() -> None:
    api = Cluster("n1")
    first, second = await api.job("first"), await api.job("second")
    async with api.queue() as queue:
        assert (await answer(queue, first)).admitted
        queue.note(with_status(first, Phase.STARTING, 0))
        assert not (await answer(queue, second)).admitted
        queue.note(with_status(second, Phase.QUEUED, None))
        queue.forget(("default", "first"))
        await eventually("woken", lambda: ("default", "second") in api.woken)


async def test_after_a_restart_who_was_let_in_has_its_room() -> None:
    """Its pods do not exist yet: only its status says it."""
    api = Cluster("n1")
    first, second = await api.job("first"), await api.job("second")
    status = with_status(first, Phase.STARTING, 0).status.to_json()
    await api.patch_status(PLURAL, "default", "first", {"status": status})
    async with api.queue() as queue:
        assert (await answer(queue, second)).reason == "WaitingForCapacity"


async def test_pods_of_strangers_take_room() -> None:
    api = Cluster("n1")
    body = {
        "metadata": {"name": "stranger"},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
    }
    await api.create("pods", "elsewhere", body)
    job = await api.job("job")
    async with api.queue() as queue:
        assert "cpu 7" in (await answer(queue, job)).message
        pod = api.peek("pods", "elsewhere", "stranger")
        assert pod is not None
        await api.delete("pods", "elsewhere", "stranger", pod["metadata"]["uid"], 0)
        queue.note(with_status(job, Phase.QUEUED, None))
        await eventually("woken", lambda: ("default", "job") in api.woken)


async def test_where_nodes_may_not_be_listed_gangs_start_one_after_the_other() -> None:
    for denied in (("nodes",), ("pods",), ("nodes", "pods", "priorityclasses", "resourcequotas")):
        api = Cluster("n1", denied=denied)
        first, second = await api.job("first"), await api.job("second")
        async with api.queue() as queue:
            assert (await answer(queue, first)).admitted
            assert (await answer(queue, second)).reason == "WaitingForOthers"


async def test_where_nodes_come_when_needed_nobody_waits_for_them() -> None:
    api = Cluster()
    first, second = await api.job("first", nodes=9), await api.job("second", nodes=9)
    async with api.queue(by_nodes=False) as queue:
        assert (await answer(queue, first)).admitted
        assert (await answer(queue, second)).admitted


async def test_the_more_urgent_class_is_first() -> None:
    api = Cluster("n1")
    await api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 1000})
    low, high = await api.job("low"), await api.job("urgent", priorityClassName="high")
    async with api.queue() as queue:
        queue.note(with_status(high, Phase.QUEUED, None))
        refused = await answer(queue, low)
        assert (refused.admitted, refused.position) == (False, 2)


async def test_a_quota_lets_nobody_in_whom_it_would_refuse() -> None:
    api = Cluster("n1", "n2")
    body = {"metadata": {"name": "few"}, "status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}}
    await api.create("resourcequotas", "default", body)
    job = await api.job("job", nodes=2)
    async with api.queue() as queue:
        found = await answer(queue, job)
        assert found.reason == "QuotaExceeded"
        assert "quota few: pods 2 needed, 1 left of 1" in found.message


async def test_a_template_that_cannot_be_read_stops_nobody() -> None:
    """Neither the queue, which reads all jobs when it begins, nor the job: the API server has the word."""
    api = Cluster("n1")
    part = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": "odd"}}}
    odd = await api.job("odd", podTemplate={"spec": {"affinity": part}})
    status = with_status(odd, Phase.QUEUED, None).status.to_json()
    await api.patch_status(PLURAL, "default", "odd", {"status": status})
    other = await api.job("other")
    async with api.queue() as queue:
        assert (await answer(queue, other)).admitted
        assert (await answer(queue, odd)).admitted


async def test_a_job_of_the_same_name_is_another_job() -> None:
    api = Cluster("n1")
    first = await api.job("one")
    async with api.queue() as queue:
        assert (await answer(queue, first)).admitted
        await api.delete(PLURAL, "default", "one", first.metadata.uid, 0)
        again = await api.job("one", nodes=2)
        assert not (await answer(queue, again)).admitted
