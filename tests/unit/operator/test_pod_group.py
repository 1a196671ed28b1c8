"""A gang scheduler's PodGroup: what it says, when it is there, and what of each pod belongs to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.control import Control, eventually
from harness.jobs import SETTINGS, T0, job, seen

from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.api import RESOURCES, ApiError, Object
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.manifests.pod_group import kind_of
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.refusals import classify
from llmtrain_operator.scheduling.by_queue import ByQueue
from llmtrain_operator.scheduling.default import OwnQueue
from llmtrain_operator.scheduling.providers import gang_scheduler
from llmtrain_operator.types import Action, CreateChild, CreatePod, Provider, RefusalKind

GROUPED = (Provider.KUBERNETES, Provider.VOLCANO, Provider.COSCHEDULING)
ASKS = {"nodes": 3, "resources": {"cpu": "500m", "memory": "1Gi"}, "priorityClassName": "urgent"}
SHARE = {"cpu": "1.5", "memory": "3221225472"}
"""Of a gang of three."""


def created(provider: Provider, **spec: Any) -> tuple[Action, ...]:
    """What a new job's gang is made of."""
    settings = replace(SETTINGS, provider=provider)
    begun = plan(replace(seen(job(**spec)), settings=settings), T0).status
    return plan(replace(seen(job(begun, **spec)), settings=settings), T0).actions


def group_of(actions: tuple[Action, ...]) -> Object:
    [found] = [a.manifest for a in actions if isinstance(a, CreateChild) and "podgroups" in a.resource]
    return found


def pods_of(actions: tuple[Action, ...]) -> list[Object]:
    return [a.manifest for a in actions if isinstance(a, CreatePod)]


@pytest.mark.parametrize(
    ("provider", "version", "spec"),
    [
        (
            Provider.KUBERNETES,
            "scheduling.k8s.io/v1beta1",
            {
                "schedulingPolicy": {"gang": {"minCount": 3}},
                "disruptionMode": {"all": {}},
                "priorityClassName": "urgent",
            },
        ),
        (
            Provider.VOLCANO,
            "scheduling.volcano.sh/v1beta1",
            {"minMember": 3, "minResources": SHARE, "priorityClassName": "urgent"},
        ),
        (
            Provider.COSCHEDULING,
            "scheduling.x-k8s.io/v1alpha1",
            {"minMember": 3, "minResources": SHARE},
        ),
    ],
)
def test_what_it_says(provider: Provider, version: str, spec: Object) -> None:
    found = group_of(created(provider, **ASKS))
    assert (found["apiVersion"], found["kind"]) == (version, "PodGroup")
    assert found["spec"] == spec
    meta = found["metadata"]
    assert meta["name"] == "tiny-0"
    assert [(o["kind"], o["name"], o["controller"]) for o in meta["ownerReferences"]] == [
        ("LLMTrainingJob", "tiny", True)
    ]


def test_each_pod_is_one_of_it() -> None:
    for made in pods_of(created(Provider.KUBERNETES, **ASKS)):
        assert made["spec"]["schedulingGroup"] == {"podGroupName": "tiny-0"}
        assert "schedulerName" not in made["spec"]
    for made in pods_of(created(Provider.VOLCANO, **ASKS)):
        assert made["metadata"]["annotations"]["scheduling.k8s.io/group-name"] == "tiny-0"
        assert made["spec"]["schedulerName"] == "volcano"
    for made in pods_of(created(Provider.COSCHEDULING, **ASKS)):
        assert made["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] == "tiny-0"
        assert made["spec"]["schedulerName"] == "scheduler-plugins-scheduler"


def test_a_scheduler_that_the_template_names_is_the_one() -> None:
    [*pods] = pods_of(created(Provider.VOLCANO, podTemplate={"spec": {"schedulerName": "volcano-gpu"}}))
    assert {made["spec"]["schedulerName"] for made in pods} == {"volcano-gpu"}


@pytest.mark.parametrize("provider", GROUPED)
def test_it_is_there_before_the_first_pod(provider: Provider) -> None:
    actions = created(provider)
    kinds = [isinstance(a, CreatePod) for a in actions]
    assert kinds == sorted(kinds), "children first"
    assert group_of(actions)


@pytest.mark.parametrize("provider", [Provider.DEFAULT, Provider.KUEUE])
def test_without_such_a_scheduler_there_is_none(provider: Provider) -> None:
    actions = created(provider)
    assert not [a for a in actions if isinstance(a, CreateChild) and "podgroups" in a.resource]
    assert all("schedulerName" not in made["spec"] for made in pods_of(actions))


def test_a_queue_of_volcano_is_the_groups() -> None:
    assert group_of(created(Provider.VOLCANO, queueName="team"))["spec"]["queue"] == "team"


def test_who_has_queues() -> None:
    def api(provider: Provider) -> object:
        settings = replace(SETTINGS, provider=provider)
        return gang_scheduler(MemoryApi(), PodStore(), settings, lambda _: None)

    assert isinstance(api(Provider.VOLCANO), ByQueue)
    assert isinstance(api(Provider.KUBERNETES), OwnQueue)
    assert isinstance(api(Provider.COSCHEDULING), OwnQueue)
    for provider in (Provider.KUBERNETES, Provider.COSCHEDULING):
        named = replace(seen(job(queueName="team")), settings=replace(SETTINGS, provider=provider))
        accepted = plan(named, T0).status.condition("Accepted")
        assert accepted is not None
        assert "spec.queueName" in accepted.message


def resource_of(provider: Provider) -> str:
    kind = kind_of(replace(SETTINGS, provider=provider))
    assert kind is not None
    assert kind.resource in RESOURCES
    return kind.resource


@pytest.mark.parametrize("provider", GROUPED)
async def test_an_attempt_has_its_own_and_the_old_one_goes(provider: Provider) -> None:
    memory = MemoryApi()
    control = Control(memory, settings=replace(SETTINGS, provider=provider))
    resource = resource_of(provider)
    async with control.up():
        await control.apply(nodes=2)
        await control.bring_up("tiny-0-0", "tiny-0-1")
        assert memory.peek(resource, "default", "tiny-0") is not None
        for name in ("tiny-0-1", "tiny-0-0"):
            # both are gone before anybody could ask them to go
            await memory.delete("pods", "default", name, control.pods()[name]["metadata"]["uid"], 0)
        await eventually("attempt 1", lambda: "tiny-1-0" in control.pods())
        assert memory.peek(resource, "default", "tiny-1") is not None
        assert memory.peek(resource, "default", "tiny-0") is None


async def test_a_suspended_job_keeps_none() -> None:
    memory = MemoryApi()
    control = Control(memory, settings=replace(SETTINGS, provider=Provider.VOLCANO))
    resource = resource_of(Provider.VOLCANO)
    async with control.up():
        await control.apply(nodes=2)
        await control.bring_up("tiny-0-0", "tiny-0-1")
        assert memory.peek(resource, "default", "tiny-0") is not None
        found = memory.peek(PLURAL, "default", "tiny")
        assert found is not None
        memory.replace_spec(PLURAL, "default", "tiny", {**found["spec"], "suspend": True})
        await eventually("its group goes", lambda: memory.peek(resource, "default", "tiny-0") is None)


class NotServed(MemoryApi):
    """An API server without PodGroups."""

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        if resource.startswith("podgroups"):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return await super().create(resource, namespace, body)


async def test_where_it_is_not_served_no_pod_is_made_and_the_object_says_why() -> None:
    control = Control(NotServed(), settings=replace(SETTINGS, provider=Provider.VOLCANO))
    async with control.up():
        await control.apply()
        await eventually("it is told", lambda: "queue.provider" in str(control.status().get("waiting")))
        assert control.pods() == {}
        assert control.status()["waiting"]["reason"] == RefusalKind.UNAVAILABLE.value


def test_other_things_that_are_not_there_are_told_as_they_are() -> None:
    other = classify(404, 'namespaces "team" not found')
    assert other is not None
    assert other.hint is None
