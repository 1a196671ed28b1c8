"""What a job owns beside its pods: who may reach it, what of it stays, how much disk it may take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.control import Control, eventually
from harness.jobs import SETTINGS, T0, UID, job, seen

from llmtrain_operator.kube.api import RESOURCES, ApiError, Object
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.manifests.network_policy import network_policy
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.situation import look
from llmtrain_operator.settings import parse
from llmtrain_operator.types import CreateChild, PlanSettings

ISOLATED = replace(
    SETTINGS, network_policy=True, metrics_namespace=(("kubernetes.io/metadata.name", "monitoring"),)
)
GANG = ("tiny-0-0", "tiny-0-1")


def policy(settings: PlanSettings, **spec: Any) -> Object:
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None
    return network_policy(found.job, found.spec, settings)


def test_only_the_jobs_own_pods_reach_its_ranks() -> None:
    found = policy(ISOLATED)
    gang = {"matchLabels": {"llmtrain.dev/job-uid": UID}}
    assert found["spec"]["podSelector"] == gang
    assert found["spec"]["policyTypes"] == ["Ingress"], "what a rank may reach is not ours to say"
    own, metrics = found["spec"]["ingress"]
    assert own == {"from": [{"podSelector": gang}]}
    assert metrics == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"protocol": "TCP", "port": 9400, "endPort": 9400}],
    }
    assert found["metadata"]["ownerReferences"][0]["uid"] == UID


def test_metrics_of_every_gpu_are_reachable_or_nobodys() -> None:
    gpus = {
        "gpusPerNode": 8,
        "nodes": 1,
        "resources": {"memory": "21Gi"},
        "training": {"globalBatchSize": 64},
    }
    assert policy(ISOLATED, **gpus)["spec"]["ingress"][1]["ports"][0]["endPort"] == 9407
    assert len(policy(replace(ISOLATED, metrics_namespace=()))["spec"]["ingress"]) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_it_is_made_before_the_pods_if_the_installation_wants_it(wanted: bool) -> None:
    settings = replace(ISOLATED, network_policy=wanted)
    started = job(plan(replace(seen(job()), settings=settings), T0).status)
    actions = plan(replace(seen(started), settings=settings), T0).actions
    children = [a.resource for a in actions if isinstance(a, CreateChild)]
    assert ("networkpolicies" in children) is wanted
    assert isinstance(actions[0], CreateChild)


def test_every_resource_has_a_path() -> None:
    assert RESOURCES["pods"].path("n", "p") == "/api/v1/namespaces/n/pods/p"
    assert RESOURCES["pods"].path() == "/api/v1/pods"
    assert (
        RESOURCES["networkpolicies"].path("n", "p")
        == "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/p"
    )
    assert RESOURCES["tokenreviews"].path("n") == "/apis/authentication.k8s.io/v1/tokenreviews"


def worker(settings: PlanSettings, **spec: Any) -> Object:
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None
    manifest: Object = build_pod(found.job, found.spec, 0, 0, "img:1", settings)["spec"]
    return manifest


def test_a_worker_may_fill_its_share_of_a_disk_only() -> None:
    bounded = worker(replace(SETTINGS, scratch_size="50Gi"))
    volumes = {v["name"]: v for v in bounded["volumes"]}
    assert volumes["scratch"]["emptyDir"] == {"sizeLimit": "50Gi"}
    resources = bounded["containers"][0]["resources"]
    assert "ephemeral-storage" not in resources["limits"], "it would be a request of 50Gi, too"
    asked = worker(replace(SETTINGS, scratch_size="50Gi", scratch_request="2Gi"))
    resources = asked["containers"][0]["resources"]
    assert resources["requests"]["ephemeral-storage"] == "2Gi"
    assert resources["limits"]["ephemeral-storage"] == "50Gi"
    assert {v["name"]: v for v in worker(SETTINGS)["volumes"]}["scratch"]["emptyDir"] == {}


def test_shared_memory_is_no_larger_than_memory() -> None:
    spec = worker(
        SETTINGS, gpusPerNode=8, nodes=1, resources={"memory": "21Gi"}, training={"globalBatchSize": 64}
    )
    shm = next(v for v in spec["volumes"] if v["name"] == "shm")
    assert shm["emptyDir"]["sizeLimit"] == spec["containers"][0]["resources"]["limits"]["memory"]


def test_flags_of_isolation_are_read_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    image = ["--trainer-image", "x"]
    found = parse([*image, "--network-policy=true", "--metrics-namespace=a=b, c.d/e=f", "--scratch-size=5Gi"])
    assert found.network_policy
    assert found.metrics_namespace == (("a", "b"), ("c.d/e", "f"))
    assert parse([*image, "--metrics-namespace=", "--scratch-size="]).metrics_namespace == ()
    for wrong in ("--metrics-namespace=a", "--scratch-size=5 GB", "--network-policy=perhaps"):
        with pytest.raises(SystemExit):
            parse([*image, wrong])
        assert wrong.partition("=")[0] in capsys.readouterr().err


class OneConfigMap(MemoryApi):
    """A namespace whose quota is one ConfigMap."""

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        if resource == "configmaps" and self._collections["configmaps"].objects:
            raise ApiError(403, "Forbidden", "exceeded quota: count/configmaps=1")
        return await super().create(resource, namespace, body)


async def test_the_config_of_an_attempt_that_is_over_goes() -> None:
    api = OneConfigMap()
    async with Control(api).up() as control:
        await control.apply()
        await control.bring_up(*GANG)
        for name in GANG:
            uid = control.pods()[name]["metadata"]["uid"]
            await api.delete("pods", "default", name, uid, 0)
        await eventually("the next gang", lambda: {"tiny-1-0", "tiny-1-1"} <= set(control.pods()))
        assert api.peek("configmaps", "default", "tiny-0") is None
        assert api.peek("configmaps", "default", "tiny-1") is not None


async def test_a_strangers_config_of_that_name_stays() -> None:
    api = MemoryApi()
    async with Control(api).up() as control:
        await control.apply()
        await control.bring_up(*GANG)
        ours = api.peek("configmaps", "default", "tiny-0")
        assert ours is not None
        await api.delete("configmaps", "default", "tiny-0", ours["metadata"]["uid"], 0)
        await api.create("configmaps", "default", {"metadata": {"name": "tiny-0"}, "data": {"mine": "1"}})
        for name in GANG:
            uid = control.pods()[name]["metadata"]["uid"]
            await api.delete("pods", "default", name, uid, 0)
        await eventually("the next gang", lambda: {"tiny-1-0", "tiny-1-1"} <= set(control.pods()))
        assert api.peek("configmaps", "default", "tiny-0") is not None
