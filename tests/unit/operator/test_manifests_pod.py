"""The pod of a rank: security, identity, GPUs and volumes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, UID, job, seen

from llmtrain_api import JobFile, Phase, Setup, SetupStage
from llmtrain_api.names import TOKEN_AUDIENCE
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.manifests.pod import setup_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.situation import look
from llmtrain_operator.types import Allowed, PlanSettings


def test_pod_passes_pod_security_restricted_and_carries_its_identity() -> None:
    found = look(seen(job()), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 3, 1, "img:1", SETTINGS)
    assert manifest["metadata"]["name"] == "tiny-3-1"
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID
    spec, container = manifest["spec"], manifest["spec"]["containers"][0]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    token = next(v for v in spec["volumes"] if v["name"] == "token")
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == TOKEN_AUDIENCE
    assert not any("nvidia.com/gpu" in r for r in container["resources"].values())


def test_gpus_are_asked_for_with_shared_memory() -> None:
    found = look(
        seen(job(gpusPerNode=8, nodes=1, resources={"memory": "21Gi"}, training={"globalBatchSize": 64})), T0
    )
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)
    assert manifest["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert any(v["name"] == "shm" for v in manifest["spec"]["volumes"])


def worker_and_setup(settings: PlanSettings = SETTINGS, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Specs of the pod of a rank, and of the pod that prepares the data."""
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None
    prepares = Setup(stage=SetupStage.PREPARE, number=0, generation=0, started_at=T0)
    setup = setup_pod(found.job, found.spec, prepares, "img:1", settings)
    return build_pod(found.job, found.spec, 0, 0, "img:1", settings)["spec"], setup["spec"]


def limits(of_pod: dict[str, Any]) -> dict[str, str]:
    resources: dict[str, dict[str, str]] = of_pod["containers"][0]["resources"]
    for name in set(resources["limits"]) - {"cpu", "memory"}:
        assert resources["requests"][name] == resources["limits"][name], "devices are not overcommitted"
    return resources["limits"]


def test_devices_are_asked_for_under_the_names_that_nodes_offer_them_by() -> None:
    resources = {"memory": "21Gi", "gpuResource": "amd.com/gpu", "rdma": {"resource": "rdma/hca", "count": 2}}
    worker, setup = worker_and_setup(gpusPerNode=8, nodes=1, resources=resources)
    assert limits(worker) == {"memory": "21Gi", "amd.com/gpu": "8", "rdma/hca": "2"}
    assert limits(setup) == {"memory": "21Gi"}, "nobody holds devices while text is read"


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ({"gpusPerNode": 1}, "4Gi"),
        ({"gpusPerNode": 1, "resources": {"sharedMemory": "1.5Gi"}}, "1610612736"),
        ({"resources": {"sharedMemory": "64Mi"}}, "64Mi"),
        ({}, None),
    ],
)
def test_shared_memory_is_as_large_as_the_job_says(spec: dict[str, Any], size: str | None) -> None:
    worker, setup = worker_and_setup(**spec)
    sizes = [v["emptyDir"]["sizeLimit"] for v in worker["volumes"] if v["name"] == "shm"]
    mounts = [m["mountPath"] for m in worker["containers"][0]["volumeMounts"] if m["name"] == "shm"]
    assert (sizes, mounts) == (([size], ["/dev/shm"]) if size else ([], []))
    assert not any(v["name"] == "shm" for v in setup["volumes"])


def test_the_network_of_a_node_is_used_only_where_the_installation_allows_it() -> None:
    allowing = replace(SETTINGS, allow=(Allowed.HOST_NETWORK,))
    worker, setup = worker_and_setup(allowing, hostNetwork=True)
    assert (worker["hostNetwork"], worker["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    ports = {
        port["name"]: (port["containerPort"], port["hostPort"]) for port in worker["containers"][0]["ports"]
    }
    assert ports == {"metrics": (9400, 9400), "rendezvous": (29400, 29400)}, "no two such pods on one node"
    assert "hostNetwork" not in setup
    for settings, asked in ((SETTINGS, True), (allowing, False)):
        plain, _ = worker_and_setup(settings, hostNetwork=asked)
        assert "hostNetwork" not in plain
        assert "hostPort" not in plain["containers"][0]["ports"][0]


def test_a_job_on_the_network_of_nodes_is_refused_where_that_is_not_allowed() -> None:
    status = plan(seen(job(hostNetwork=True)), T0).status
    accepted = status.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    assert "add hostNetwork to trainer.allow" in accepted.message
    allowing = replace(SETTINGS, allow=(Allowed.HOST_NETWORK,))
    assert plan(replace(seen(job(hostNetwork=True)), settings=allowing), T0).status.phase is Phase.STARTING


def dataset_volumes(
    dataset: dict[str, Any], volumes: str = "data", **spec: Any
) -> tuple[dict[str, Any], dict[str, Any], JobFile]:
    """Mounts and claims of the text by volume, and what the workers are told."""
    found = look(seen(job(dataset=dataset, **spec)), T0)
    assert found.spec is not None
    of_pod = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)["spec"]
    (container,) = of_pod["containers"]
    mounts = {m["name"]: m for m in container["volumeMounts"] if m["name"].startswith(volumes)}
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in of_pod["volumes"] if v["name"] in mounts
    }
    config = config_map(found.job, found.spec, 0, SETTINGS)
    return mounts, claims, JobFile.model_validate(json.loads(config["data"]["job.json"]), extra="forbid")


def test_each_claim_of_a_mixture_is_mounted_once_to_be_read() -> None:
    names = ["pvc://texts/books", "builtin://python-stdlib", "pvc://code", "file:///data", "pvc://texts/web/"]
    mounts, claims, told = dataset_volumes({"mixture": [{"name": name, "weight": 1} for name in names]})
    assert claims == {"dataset-0": "texts", "dataset-1": "code"}
    assert mounts == {
        name: {"name": name, "mountPath": f"/mnt/dataset/{claim}", "readOnly": True}
        for name, claim in claims.items()
    }
    assert told.dataset is None
    assert told.sources == {
        "pvc://texts/books": "/mnt/dataset/texts/books",
        "pvc://code": "/mnt/dataset/code",
        "file:///data": "/data",
        "pvc://texts/web/": "/mnt/dataset/texts/web",
    }


def test_a_dataset_with_a_name_is_mounted_as_before() -> None:
    mounts, claims, told = dataset_volumes({"name": "pvc://texts/books"})
    assert claims == {"dataset": "texts"}
    assert mounts == {"dataset": {"name": "dataset", "mountPath": "/mnt/dataset", "readOnly": True}}
    assert (told.dataset, told.sources) == ("/mnt/dataset/books", {})
    assert dataset_volumes({"name": "builtin://python-stdlib"})[2].dataset is None


def test_each_claim_of_sets_is_mounted_once_to_be_read() -> None:
    sources = ["pvc://texts/news", "pvc://texts/books", "pvc://code", "file:///data", "s3://bucket/far"]
    sets = [{"name": f"set-{at}", "source": source} for at, source in enumerate(sources)]
    mounts, claims, told = dataset_volumes(
        {"name": "pvc://texts/books"}, "evaluation", evaluation={"datasets": sets}
    )
    assert claims == {"evaluation-0": "texts", "evaluation-1": "code"}
    assert mounts == {
        name: {"name": name, "mountPath": f"/mnt/evaluation/{claim}", "readOnly": True}
        for name, claim in claims.items()
    }
    assert told.dataset == "/mnt/dataset/books"
    assert told.sources == {
        "pvc://texts/news": "/mnt/evaluation/texts/news",
        "pvc://texts/books": "/mnt/evaluation/texts/books",
        "pvc://code": "/mnt/evaluation/code",
        "file:///data": "/data",
    }


def test_a_set_may_be_all_that_needs_the_credentials_of_data() -> None:
    sets = [{"name": "far", "source": "s3://bucket/far"}]
    asked = job(dataset={"name": "pvc://texts", "secret": "store"}, evaluation={"datasets": sets})
    found = look(seen(asked), T0)
    assert found.spec is not None
    (container,) = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)["spec"]["containers"]
    assert {"prefix": "DATASET_", "secretRef": {"name": "store"}} in container["envFrom"]


def told_of_mounted(name: str, claim: str, spec: dict[str, Any]) -> JobFile:
    """What ranks are told of a job that mounts a claim under this name, to be read, in all its pods."""
    for pod in worker_and_setup(**spec):
        assert {"name": name, "persistentVolumeClaim": {"claimName": claim}} in pod["volumes"]
        mounts = pod["containers"][0]["volumeMounts"]
        assert {"name": name, "mountPath": f"/mnt/{name}", "readOnly": True} in mounts
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None
    return JobFile.model_validate_json(config_map(found.job, found.spec, 0, SETTINGS)["data"]["job.json"])


def test_pairs_of_sentences_are_mounted_to_be_read_also_where_data_are_prepared() -> None:
    fairness: dict[str, Any] = {"evaluation": {"fairness": {"pairs": "pvc://words/fair/pairs.jsonl"}}}
    told = told_of_mounted("pairs", "words", fairness)
    assert told.pairs == "/mnt/pairs/fair/pairs.jsonl"
    assert not any(v["name"] == "pairs" for v in worker_and_setup()[0]["volumes"])


def test_pairs_that_are_held_alike_are_a_mount_of_their_own() -> None:
    both: dict[str, Any] = {
        "evaluation": {"fairness": {"pairs": "pvc://words/held-out.jsonl"}},
        "training": {"fairness": {"pairs": "pvc://words/fair/pairs.jsonl"}},
    }
    told = told_of_mounted("penalty-pairs", "words", both)
    assert (told.pairs, told.penalty_pairs) == (
        "/mnt/pairs/held-out.jsonl",
        "/mnt/penalty-pairs/fair/pairs.jsonl",
    )
    assert not any(v["name"] == "penalty-pairs" for v in worker_and_setup()[0]["volumes"])


def test_tasks_are_a_mount_of_their_own() -> None:
    tasks = {"folder": "pvc://ours/tasks", "names": ["weather"]}
    told = told_of_mounted("tasks", "ours", {"evaluation": {"tasks": tasks}})
    assert told.tasks == "/mnt/tasks/tasks"
    assert not any(v["name"] == "tasks" for v in worker_and_setup()[0]["volumes"])


def test_a_reward_model_is_a_mount_of_its_own() -> None:
    rewards = [{"kind": "json"}, {"kind": "model", "model": "pvc://judges/reward/export"}]
    spec: dict[str, Any] = {
        "task": "reinforcement",
        "dataset": {"name": "pvc://data/prompts"},
        "training": {"reinforcement": {"rewards": rewards}},
    }
    told = told_of_mounted("reward-model", "judges", spec)
    assert told.reward_model == "/mnt/reward-model/reward/export"


def test_an_output_in_an_object_store_needs_no_volume() -> None:
    found = look(seen(job(output={"uri": "s3://models/team/run", "secret": "store"})), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)
    [container] = manifest["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert {volume["name"] for volume in manifest["spec"]["volumes"]} == {"config", "token", "scratch"}
    told = config_map(found.job, found.spec, 0, SETTINGS)["data"]["job.json"]
    assert json.loads(told)["output"] == "/scratch/output"


def test_only_node_0_gets_what_a_push_needs() -> None:
    publish = {"hub": "acme/helpdesk", "secret": "writer"}
    found = look(seen(job(nodes=2, output={"uri": "pvc://a/b", "publish": publish})), T0)
    assert found.spec is not None
    pods = [build_pod(found.job, found.spec, 0, rank, "img:1", SETTINGS) for rank in (0, 1)]
    first, second = (pod["spec"]["containers"][0] for pod in pods)
    assert first["envFrom"] == [{"prefix": "PUBLISH_", "secretRef": {"name": "writer"}}]
    assert "envFrom" not in second


def test_a_push_to_a_registry_gets_what_docker_login_wrote() -> None:
    publish = {"oci": "registry.example.com/team/model", "secret": "pusher"}
    found = look(seen(job(nodes=2, output={"uri": "pvc://a/b", "publish": publish})), T0)
    assert found.spec is not None
    pods = [build_pod(found.job, found.spec, 0, rank, "img:1", SETTINGS) for rank in (0, 1)]
    first, second = (pod["spec"]["containers"][0] for pod in pods)
    key = {"name": "pusher", "key": ".dockerconfigjson", "optional": True}
    config = {"name": "PUBLISH_DOCKERCONFIGJSON", "valueFrom": {"secretKeyRef": key}}
    assert config in first["env"]
    assert first["envFrom"] == [{"prefix": "PUBLISH_", "secretRef": {"name": "pusher"}}]
    assert [one for one in second["env"] if one["name"] == "PUBLISH_DOCKERCONFIGJSON"] == []
    assert "envFrom" not in second


def test_credentials_for_data_have_names_of_their_own() -> None:
    data = {"name": "s3://lake/x", "secret": "reader"}
    found = look(seen(job(dataset=data, output={"uri": "s3://models/run", "secret": "store"})), T0)
    assert found.spec is not None
    [container] = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)["spec"]["containers"]
    assert container["envFrom"] == [
        {"secretRef": {"name": "store"}},
        {"prefix": "DATASET_", "secretRef": {"name": "reader"}},
    ]
    assert dataset_volumes({"name": "owner/name"})[0] == {}
