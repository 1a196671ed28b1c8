"""What one tenant, or one fault, may cost the others."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from harness.control import Control, eventually
from harness.jobs import T0, UID, job, pod, report
from harness.jobs import manifest as job_manifest
from prometheus_client import generate_latest

from llmtrain_api import Job, JobStatus, Phase, Progress, changed
from llmtrain_api.names import PLURAL
from llmtrain_operator import health
from llmtrain_operator.engine import reconcile
from llmtrain_operator.engine.known_jobs import KnownJobs, ref
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube import reflector
from llmtrain_operator.kube.api import ApiError, Listing, Object
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.metrics import OperatorMetrics
from llmtrain_operator.progress import latest
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.types import JobRef


class Counting(MemoryApi):
    """An API that counts what it is asked, and refuses pods over a quota."""

    def __init__(self, quota: int = 10**9, message: str = "exceeded quota: pods") -> None:
        super().__init__()
        self.quota, self.message = quota, message
        self.pod_creates: list[str] = []
        self.broken_job = ""

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        if resource == "pods":
            self.pod_creates.append(body["metadata"]["name"])
            if len(self._collections["pods"].objects) >= self.quota:
                raise ApiError(403, "Forbidden", f"pods is forbidden: {self.message}")
        return await super().create(resource, namespace, body)


async def test_a_gang_that_has_no_room_costs_few_calls() -> None:
    api = Counting(quota=10)
    control = Control(api)
    async with control.up():
        await control.apply(nodes=512, training={"maxSteps": 5, "globalBatchSize": 512})
        await eventually("the refusal is told", lambda: control.status().get("waiting"))
        assert control.status()["waiting"]["reason"] == "QuotaExceeded"
        # 1 + 2 + 4 + 8, of which the last ones are refused
        first_round = len(api.pod_creates)
        assert first_round <= 31, first_round


async def test_what_wakes_a_job_does_not_shorten_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Counting(quota=0, message='User "operator" cannot create resource "pods"')
    control = Control(api)
    async with control.up():
        await control.apply(nodes=2)
        key = ("default", "tiny")
        await eventually("the backoff has grown", lambda: control.queue.failures(key) >= 3)
        looked = 0
        honest = control.reconciler.reconcile

        async def counted(key: tuple[str, str]) -> None:
            nonlocal looked
            looked += 1
            await honest(key)

        monkeypatch.setattr(control.reconciler, "reconcile", counted)
        before, failures = len(api.pod_creates), control.queue.failures(key)
        while looked < 100:
            control.queue.add(key)
            await asyncio.sleep(0.001)
        asked = len(api.pod_creates) - before
        assert asked == control.queue.failures(key) - failures, "each try has its own, longer wait"
        assert asked < looked / 4, "asked again at each wake-up"


async def test_the_gang_is_created_when_there_is_room_again() -> None:
    api = Counting(quota=0)
    control = Control(api)
    async with control.up():
        await control.apply(nodes=2)
        await eventually("told", lambda: control.status().get("waiting"))
        api.quota = 10**9
        await eventually("created", lambda: len(control.pods()) == 2)
        await eventually("no wait on record", lambda: control.status().get("waiting") is None)


async def test_what_fails_again_and_again_stands_in_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, broken = reconcile.plan, True

    def fails(seen: Any, now: Any) -> Any:
        if broken and seen.job.metadata.name == "bad":
            raise OverflowError("secret 1234")
        return honest(seen, now)

    monkeypatch.setattr(reconcile, "plan", fails)
    async with Control(MemoryApi()).up() as control:
        await control.apply("bad")
        await control.apply("good")
        waiting = await eventually("told", lambda: control.status("bad").get("waiting"))
        assert waiting["reason"] == "InternalError"
        assert "OverflowError" in waiting["message"]
        assert "1234" not in str(waiting)
        await eventually("another job goes on", lambda: "good-0-1" in control.pods())
        broken = False
        await eventually("it goes on", lambda: "bad-0-1" in control.pods())
        await eventually("and no more is told", lambda: control.status("bad").get("waiting") is None)


class RefusesStatus(MemoryApi):
    """An API server whose schema refuses what the plan writes."""

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        if resource == PLURAL and "resourceVersion" in patch.get("metadata", {}):
            raise ApiError(422, "Invalid", "status.progress.lossText: Too long")
        return await super().patch_status(resource, namespace, name, patch)


async def test_a_status_that_is_refused_is_told_too() -> None:
    async with Control(RefusesStatus()).up() as control:
        await control.apply()
        waiting = await eventually("told", lambda: control.status().get("waiting"))
        assert waiting["reason"] == "InternalError"
        assert "status" in waiting["message"]


def a_known_job(name: str, phase: Phase | None, **metadata: Any) -> Job:
    raw = job_manifest(name)
    raw["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "1", **metadata}
    return changed(Job.model_validate(raw), status=JobStatus(phase=phase))


async def test_a_resync_is_spread_and_leaves_finished_jobs_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "RESYNC_SECONDS", 0.4)
    control = Control(MemoryApi())
    for n in range(40):
        control.known.note(a_known_job(f"live-{n}", Phase.RUNNING))
        control.known.note(a_known_job(f"over-{n}", Phase.SUCCEEDED))
    asked: list[tuple[float, str]] = []

    async def reconcile_one(key: tuple[str, str]) -> None:
        asked.append((time.monotonic(), key[1]))

    monkeypatch.setattr(control.reconciler, "reconcile", reconcile_one)
    synced = asyncio.Event()
    synced.set()
    task = asyncio.create_task(control.reconciler.run(4, synced))
    await eventually("every live job", lambda: len({n for _, n in asked}) >= 40)
    assert not [n for _, n in asked if n.startswith("over")]
    assert asked[-1][0] - asked[0][0] > 0.05, "not all at once"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_is_kept_of_a_job_does_not_grow_with_its_labels() -> None:
    known = KnownJobs()
    known.note(a_known_job("fat", Phase.RUNNING, labels={f"label-{n}": "x" * 63 for n in range(7000)}))
    kept = known.jobs["default", "fat"]
    assert "label-1" not in repr(kept)
    assert len(repr(kept)) < 1000


def test_nothing_stays_of_jobs_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PodStore()
    for n in range(20):
        found = pod(0, 0, uid=f"p{n}", job_uid=f"j{n}")
        store.upsert(found)
        store.forget(found.owner)
        store.remove(found.uid)  # pods go after their job
    assert not store._lost
    assert not store._forgotten
    monkeypatch.setattr(latest, "MAX_JOBS", 5)
    book = ReportBook()
    for n in range(20):
        book.record(JobRef("default", "tiny", f"{UID}-{n}"), report(0).report, T0)
    assert len(book) == 5


async def test_metrics_are_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    known, queue, store = KnownJobs(), WorkQueue(), PodStore()
    for n in range(2000):
        status = JobStatus(phase=Phase.RUNNING, progress=Progress(step=1, loss=2.0))
        known.note(changed(a_known_job(f"j{n}", None), status=status))
    metrics = OperatorMetrics(known, queue, store)
    made, started, release = 0, threading.Event(), threading.Event()

    def slow(registry: Any) -> bytes:
        nonlocal made
        made += 1
        started.set()
        assert release.wait(20), "the loop stood still"
        return generate_latest(registry)

    monkeypatch.setattr(health, "PAGE_SECONDS", 60.0)
    monkeypatch.setattr(health, "generate_latest", slow)
    app = health.application(reflector.PodReflector(MemoryApi(), store, lambda _: None), metrics)
    async with TestClient(TestServer(app)) as client:
        page = asyncio.create_task(client.get("/metrics"))
        rest = [asyncio.create_task(client.get("/metrics")) for _ in range(5)]
        await eventually("the page is being made", started.is_set)
        assert (await client.get("/healthz")).status == 200
        release.set()
        text = await (await page).text()
        for other in rest:
            assert (await other).status == 200
    assert made == 1
    phases = [line for line in text.splitlines() if line.startswith("llmtrain_job_phase{")]
    assert len(phases) == 2000, "one series for each job"
    assert phases[0].endswith('phase="Running"} 1.0')


async def test_an_api_that_is_away_makes_it_unready_and_not_dead() -> None:
    watch = reflector.PodReflector(MemoryApi(), PodStore(), lambda _: None)
    app = health.application(watch, OperatorMetrics(KnownJobs(), WorkQueue(), PodStore()))
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/readyz")).status == 503
        watch.synced.set()
        assert (await client.get("/readyz")).status == 200
        watch.last_heard -= health.STALE_SECONDS + 1
        assert (await client.get("/readyz")).status == 503
        assert (await client.get("/healthz")).status == 200


class ListsOnly(MemoryApi):
    """Watches are refused, lists are not."""

    lists = 0

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        self.lists += 1
        return await super().list(resource, namespace, selector)

    async def watch(self, *_: object) -> Any:
        raise ApiError(403, "Forbidden", "cannot watch")
        yield


async def test_where_watches_are_refused_lists_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "FIRST_BACKOFF_SECONDS", 0.01)
    api = ListsOnly()
    watch = reflector.PodReflector(api, PodStore(), lambda _: None)
    task = asyncio.create_task(watch.run())
    await eventually("it backs off", lambda: watch._delay >= 0.64)
    assert api.lists <= 8
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_reference_of_a_job_is_its_own() -> None:
    assert ref(job()) == JobRef("default", "tiny", UID)
