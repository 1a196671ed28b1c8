"""What Kueue is asked, what its answers become, and who is not taken for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from harness.control import eventually
from harness.jobs import POD_FIELDS, SETTINGS, T0, job, manifest, pod, running, seen

from llmtrain_api import Job, Phase, changed
from llmtrain_api.names import LABEL_JOB_UID, PLURAL
from llmtrain_api.schema.status import Placement
from llmtrain_operator.kube.api import ApiError, Listing, Object
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.manifests.kueue import asks_for, workload
from llmtrain_operator.manifests.placement import placed
from llmtrain_operator.manifests.pod import pod as pod_manifest
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.situation import read_spec
from llmtrain_operator.scheduling.by_queue import ByQueue
from llmtrain_operator.scheduling.kueue import KueueQueue
from llmtrain_operator.scheduling.kueue_objects import decode_workload, placement_of
from llmtrain_operator.scheduling.providers import gang_scheduler
from llmtrain_operator.types import Admission, Provider

KUEUE = replace(SETTINGS, provider=Provider.KUEUE)
TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


class Api(MemoryApi):
    """Some lists fail with a status."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__()
        self.fails, self.woken = fails, list[tuple[str, str]]()

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        if self.fails and resource == "workloads":
            raise ApiError(self.fails, "No", "no")
        return await super().list(resource, namespace, selector)

    async def apply(self, **spec: Any) -> Job:
        body = manifest("tiny", nodes=2, **{"queueName": "team", **spec})
        return Job.model_validate(await self.create(PLURAL, "default", body))

    async def flavor(self, **spec: Any) -> None:
        await self.create("resourceflavors", "", {"metadata": {"name": "a100"}, "spec": spec})

    async def admit(self, name: str = "tiny-0", **more: Any) -> None:
        assigned = {"name": "worker", "flavors": {"cpu": "a100", "memory": "a100"}, **more}
        held = [{"type": kind, "status": "True"} for kind in ("QuotaReserved", "Admitted")]
        status = {"conditions": held, "admission": {"podSetAssignments": [assigned]}}
        await self.patch_status("workloads", "default", name, {"status": status})

    def workload(self, name: str = "tiny-0") -> Object:
        found = self.peek("workloads", "default", name)
        assert found is not None
        return found

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[KueueQueue]:
        found = KueueQueue(self, KUEUE, self.woken.append)
        running = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def answer(queue: KueueQueue, job: Job, reason: str | None = None) -> Admission:
    """Its answer, once it gives one; with a reason, once it gives that one."""
    for _ in range(500):
        found = await queue.decide(job)
        if (found.admitted and reason is None) or (found.reason and reason in (None, found.reason)):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"no such answer: {found}")


async def let_in(queue: KueueQueue, job: Job) -> Admission:
    """Its yes."""
    for _ in range(500):
        found = await queue.decide(job)
        if found.admitted:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not let in: {found}")


def spec_of(job: Job) -> Any:
    spec, mistakes = read_spec(job, False, None)
    assert spec is not None, mistakes
    return spec


def test_a_workload_has_what_kueue_counts_and_nothing_that_is_secret() -> None:
    one = job(
        queueName="team", nodes=3, resources={"cpu": "2", "memory": "16Gi"}, gpusPerNode=4, **POD_FIELDS
    )
    body = workload(one, spec_of(one), 5, 3, KUEUE, priority=7, active=True)
    assert (body["apiVersion"], body["kind"]) == ("kueue.x-k8s.io/v1beta2", "Workload")
    meta, spec = body["metadata"], body["spec"]
    assert meta["name"] == f"{one.metadata.name}-5"
    assert meta["labels"][LABEL_JOB_UID] == one.metadata.uid
    assert meta["ownerReferences"][0]["uid"] == one.metadata.uid
    assert (spec["queueName"], spec["priority"], spec["active"]) == ("team", 7, True)
    [pods] = spec["podSets"]
    assert (pods["name"], pods["count"]) == ("worker", 3)
    inner = pods["template"]["spec"]
    [container] = inner["containers"]
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "16Gi", "nvidia.com/gpu": "4"}
    assert inner["nodeSelector"] == {"pool": "a100"}
    assert TAINT in inner["tolerations"]
    assert set(inner) <= {
        "nodeSelector",
        "tolerations",
        "priorityClassName",
        "containers",
        "restartPolicy",
    }
    assert set(container) <= {"name", "image", "resources"}


def test_what_the_server_fills_in_is_no_other_request() -> None:
    assert asks_for({"a": 1, "b": [{"c": 2, "more": 3}]}, {"a": 1, "b": [{"c": 2}]})
    assert not asks_for({"a": 1, "b": [{"c": 1}]}, {"a": 1, "b": [{"c": 2}]})
    assert not asks_for({"b": [{"c": 2}]}, {"b": [{"c": 2}, {"c": 2}]})
    assert not asks_for({}, {"a": {"b": 1}})


def test_a_pod_gets_what_its_gang_was_given_and_keeps_what_is_ours() -> None:
    one = job(nodeSelector={"zone": "b"})
    ours = pod_manifest(one, spec_of(one), 0, 0, "image", KUEUE)
    placement = changed(
        Placement(queue="team", workload="w"),
        node_selector={"pool": "a100"},
        tolerations=[TAINT],
        labels={"added": "yes", LABEL_JOB_UID: "another"},
        annotations={"added": "too"},
        scheduling_gates=["kueue.x-k8s.io/topology"],
    )
    made = placed(ours, placement)
    assert made["spec"]["nodeSelector"] == {"zone": "b", "pool": "a100"}
    assert made["spec"]["tolerations"] == [*ours["spec"]["tolerations"], TAINT]
    assert made["spec"]["schedulingGates"] == [{"name": "kueue.x-k8s.io/topology"}]
    assert made["metadata"]["labels"]["added"] == "yes"
    assert made["metadata"]["labels"][LABEL_JOB_UID] == one.metadata.uid
    assert made["metadata"]["annotations"].items() >= {"added": "too"}.items()
    assert placed(ours, None) is ours


async def test_the_flavors_nodes_are_the_pods_nodes() -> None:
    api = Api()
    one = await api.apply()
    await api.flavor(nodeLabels={"pool": "a100"}, tolerations=[TAINT])
    async with api.queue() as queue:
        first = await answer(queue, one)
        assert (first.reason, first.admitted) == ("WaitingForKueue", False)
        await api.admit()
        await eventually("the job is looked at", lambda: ("default", "tiny") in api.woken)
        given = await let_in(queue, one)
    assert given.placement is not None
    assert given.placement.node_selector == {"pool": "a100"}
    assert [t.to_json() for t in given.placement.tolerations] == [TAINT]
    assert (given.placement.queue, given.placement.workload) == ("team", "tiny-0")


async def test_the_priority_is_that_of_the_pods_class() -> None:
    api = Api()
    await api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10})
    one = await api.apply(priorityClassName="high")
    async with api.queue() as queue:
        await answer(queue, one)
    assert api.workload()["spec"]["priority"] == 10


async def test_a_yes_needs_the_servers_own_word() -> None:
    """The watch still says that it was let in."""
    api = Api()
    one = await api.apply()
    await api.flavor()
    async with api.queue() as queue:
        await answer(queue, one)
        await api.admit()
        await let_in(queue, one)
        honest = api.get

        async def evicted(resource: str, namespace: str, name: str) -> Object:
            found = await honest(resource, namespace, name)
            if resource == "workloads":
                found["status"]["conditions"].append({"type": "Evicted", "status": "True"})
            return found

        api.get = evicted  # type: ignore[method-assign]
        assert not (await queue.decide(one)).admitted


@pytest.mark.parametrize("status", [403, 404])
async def test_without_kueue_or_rights_to_it_the_object_says_so(status: int) -> None:
    api = Api(fails=status)
    one = await api.apply()
    async with api.queue() as queue:
        found = await answer(queue, one)
    assert found.reason == "KueueNotReadable"
    assert "queue.provider" in found.message


async def test_a_workload_of_a_stranger_is_left_alone() -> None:
    api = Api()
    await api.create("workloads", "default", {"metadata": {"name": "tiny-0"}, "spec": {}})
    one = await api.apply()
    async with api.queue() as queue:
        found = await answer(queue, one)
    assert found.reason == "NameConflict"
    assert api.workload()["spec"] == {}


async def test_what_no_pod_can_hold_is_told() -> None:
    api = Api()
    one = await api.apply()
    await api.flavor(nodeLabels={"pool": "x" * 64})
    async with api.queue() as queue:
        await answer(queue, one)
        await api.admit()
        found = await answer(queue, one, "PlacementNotUnderstood")
    assert "nodeSelector" in found.message or "node_selector" in found.message


async def test_checks_and_topology_add_to_the_pods() -> None:
    update = {"name": "worker", "labels": {"l": "1"}, "annotations": {"a": "2"}, "nodeSelector": {"n": "3"}}
    other = {"name": "other", "labels": {"not": "ours"}}
    status = {
        "admission": {"podSetAssignments": [{"name": "worker", "topologyAssignment": {"levels": ["h"]}}]},
        "admissionChecks": [{"name": "provision", "state": "Ready", "podSetUpdates": [update, other]}],
    }
    owner = {"kind": "LLMTrainingJob", "name": "tiny", "uid": "u", "controller": True}
    meta = {"name": "tiny-0", "uid": "w", "resourceVersion": "1", "ownerReferences": [owner]}
    found = decode_workload(orjson.dumps({"metadata": meta, "status": status}))
    assert found is not None
    placement = placement_of(found, "team", [])
    assert placement.labels == {"l": "1", "kueue.x-k8s.io/podset": "worker"}
    assert placement.annotations == {"a": "2", "kueue.x-k8s.io/workload": "tiny-0"}
    assert placement.node_selector == {"n": "3"}
    assert placement.scheduling_gates == ["kueue.x-k8s.io/topology"]
    assert decode_workload(orjson.dumps({"metadata": {**meta, "ownerReferences": []}})) is None


def test_without_such_a_queue_a_job_that_names_one_is_refused() -> None:
    named = job(queueName="team")
    refused = plan(seen(named), T0).status
    accepted = refused.condition("Accepted")
    assert refused.phase is Phase.PENDING
    assert accepted is not None
    assert "spec.queueName" in accepted.message
    assert "queue.provider" in accepted.message
    allowed = plan(replace(seen(named), settings=KUEUE), T0)
    assert allowed.status.phase is not Phase.PENDING
    laptop = plan(replace(seen(named), settings=replace(SETTINGS, file_outputs=True)), T0)
    assert laptop.status.phase is not Phase.PENDING


def test_a_gang_gives_its_room_back_after_a_checkpoint_and_at_no_cost() -> None:
    one = job(running(placement=Placement(queue="team", workload="tiny-0")), queueName="team")
    gang = (pod(0, 0), pod(0, 1))
    stopping = plan(replace(seen(one, gang), settings=KUEUE, reclaimed="Kueue evicted it"), T0).status
    assert stopping.attempts[-1].stopping_at == T0
    assert stopping.attempts[-1].reason == "Preempted"
    assert stopping.waiting is not None
    assert stopping.waiting.message.startswith("Kueue evicted it")
    after = plan(replace(seen(job(stopping, queueName="team")), settings=KUEUE), T0)
    assert after.doubts
    assert (after.status.phase, after.status.attempt) == (Phase.QUEUED, 1)
    assert after.status.attempts[0].charge == "Nobody"
    assert after.status.attempts[0].message == "Kueue evicted it"
    assert after.status.placement is None
    queued = replace(seen(job(after.status, queueName="team")), settings=KUEUE, admission=None)
    again = plan(replace(queued, reclaimed="Kueue evicted it"), T0)
    assert again.asks, "what has no room has none to give back"
    assert again.status.attempt == 1


def test_providers_by_name() -> None:
    api = Api()
    assert isinstance(gang_scheduler(api, PodStore(), KUEUE, api.woken.append), ByQueue)
    assert not isinstance(gang_scheduler(api, PodStore(), SETTINGS, api.woken.append), ByQueue)
