"""What a runtime makes of a job's spec, and what is beyond its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bad_runtimes import BAD_RUNTIMES
from harness.jobs import manifest

from llmtrain_api import parse_spec
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.generate.runtime_crd import RUNTIME_KINDS, runtime_definition
from llmtrain_api.runtimes import InvalidRuntime, beyond, effective, on_record, parse_runtime
from llmtrain_api.runtimes.bounds import comes_from
from llmtrain_api.runtimes.manifest import Kind
from llmtrain_api.schema.runtime import DEFAULTED, OVERRIDABLE

DEFAULTS: dict[str, Any] = {
    "image": "registry.example.com/ml/trainer:7",
    "nodeSelector": {"pool": "h100", "zone": "a"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "pull"}],
    "priorityClassName": "training",
    "resources": {"memory": "64Gi", "cpu": 16, "rdma": {"resource": "rdma/hca", "count": 8}},
    "limits": {"gpuHours": 100},
    "topology": {"label": "example.com/rack"},
    "podTemplate": {
        "spec": {
            "containers": [
                {"name": "trainer", "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}]},
                {"name": "metering", "image": "registry.example.com/meter:1"},
            ]
        }
    },
}


def runtime(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "ClusterLLMTrainingRuntime",
        "metadata": {"name": "h100"},
        "spec": spec,
    }


def merged(defaults: dict[str, Any], bounds: dict[str, Any] | None = None, **own: Any) -> dict[str, Any]:
    return effective(manifest(**own)["spec"], {"defaults": defaults, "bounds": bounds or {}})


def wrong(bounds: dict[str, Any], defaults: dict[str, Any] | None = None, **own: Any) -> list[str]:
    raw = manifest(**own)["spec"]
    spec = {"defaults": defaults or {}, "bounds": bounds}
    parse_runtime(runtime(**spec))
    return beyond(raw, parse_spec(effective(raw, spec), strict=True), spec, "ClusterLLMTrainingRuntime h100")


def test_what_a_job_leaves_out_comes_from_its_runtime() -> None:
    spec = parse_spec(merged(DEFAULTS), strict=True)
    assert (spec.image, spec.priority_class_name) == (DEFAULTS["image"], "training")
    assert (spec.resources.memory, spec.resources.gpu_memory) == ("64Gi", "80Gi")
    assert spec.topology is not None
    assert spec.limits.gpu_hours == 100


def test_what_the_api_server_fills_in_counts_as_left_out() -> None:
    """Every default of the CRD, on a job that says nothing, says nothing either."""
    [version] = custom_resource_definition()["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    filled = {name: fields[name]["default"] for name in DEFAULTED if "default" in fields[name]}
    assert {"nodeSelector", "limits"} < set(filled) or "limits" in filled
    assert merged(DEFAULTS, **filled) == filled | merged(DEFAULTS) | {
        name: merged(DEFAULTS)[name] for name in DEFAULTS
    }
    for name in DEFAULTED:
        assert fields[name].get("default") in (None, {}, []), name
    for name, field in fields["resources"]["properties"].items():
        assert "default" not in field, name


def test_the_jobs_own_value_wins_per_key() -> None:
    found = merged(
        DEFAULTS,
        image="registry.example.com/ml/mine:1",
        nodeSelector={"zone": "b", "disk": "nvme"},
        tolerations=[{"key": "spot"}],
        resources={"memory": "128Gi"},
        podTemplate={"spec": {"containers": [{"name": "trainer", "env": [{"name": "A", "value": "1"}]}]}},
    )
    assert found["image"] == "registry.example.com/ml/mine:1"
    assert found["nodeSelector"] == {"pool": "h100", "zone": "b", "disk": "nvme"}
    assert [one["key"] for one in found["tolerations"]] == ["nvidia.com/gpu", "spot"]
    assert found["resources"] == {**DEFAULTS["resources"], "memory": "128Gi"}
    trainer, meter = found["podTemplate"]["spec"]["containers"]
    assert [one["name"] for one in trainer["env"]] == ["NCCL_IB_HCA", "A"]
    assert meter["name"] == "metering"


def test_a_variable_of_the_job_replaces_the_runtimes() -> None:
    env = [{"name": "NCCL_IB_HCA", "value": "mine"}]
    found = merged(DEFAULTS, podTemplate={"spec": {"containers": [{"name": "trainer", "env": env}]}})
    assert found["podTemplate"]["spec"]["containers"][0]["env"] == env


def test_a_container_of_the_runtime_cannot_be_replaced() -> None:
    own = {"spec": {"containers": [{"name": "metering", "image": "fake:1"}]}}
    with pytest.raises(ValueError, match="metering is there twice"):
        parse_spec(merged(DEFAULTS, podTemplate=own), strict=True)


def node_terms(*keys: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"}]} for key in keys]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"spec": {"affinity": {"nodeAffinity": required}}}


def test_a_job_narrows_the_nodes_of_its_runtime_and_never_widens_them() -> None:
    """Terms of a node selector are alternatives: one more of them would be a way around the others."""
    found = merged({"podTemplate": node_terms("pool-a", "pool-b")}, podTemplate=node_terms("anything"))
    required = found["podTemplate"]["spec"]["affinity"]["nodeAffinity"]
    terms = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    keys = [[one["key"] for one in term["matchExpressions"]] for term in terms]
    assert keys == [["pool-a", "anything"], ["pool-b", "anything"]]


def test_a_job_within_all_bounds_is_told_nothing() -> None:
    bounds = {
        "overrides": ["image", "resources.memory"],
        "images": ["registry.example.com/ml"],
        "maxNodes": 2,
        "maxGpus": 16,
        "maxGpuHours": 100,
        "priorityClasses": [],
        "serviceAccounts": [],
    }
    own = {"image": "registry.example.com/ml/mine:1", "gpusPerNode": 8, "limits": {}}
    assert wrong(bounds, DEFAULTS, resources={"memory": "96Gi"}, **own) == []


SIDECAR = {"name": "side", "image": "elsewhere/side:1", "resources": {"limits": {"nvidia.com/gpu": 8}}}


def in_pod(**spec: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": spec}}


def in_trainer(**fields: Any) -> dict[str, Any]:
    return in_pod(containers=[{"name": "trainer", **fields}])


POD, THEIRS = "podTemplate.spec", {"name": "theirs"}
SECRETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("model.secret", {"model": {"name": "OWNER/NAME", "secret": "theirs"}}),
    ("output.secret", {"output": {"uri": "s3://bucket/a", "secret": "theirs"}}),
    (
        "output.publish.secret",
        {"output": {"uri": "pvc://a/b", "publish": {"hub": "a/b", "secret": "theirs"}}},
    ),
    ("telemetry.trackers[0].secret", {"telemetry": {"trackers": [{"kind": "wandb", "secret": "theirs"}]}}),
    ("imagePullSecrets[0].name", {"imagePullSecrets": [THEIRS]}),
    (
        f"{POD}.volumes[v].secret.secretName",
        in_pod(volumes=[{"name": "v", "secret": {"secretName": "theirs"}}]),
    ),
    (
        f"{POD}.volumes[v].projected.sources[0].secret.name",
        in_pod(volumes=[{"name": "v", "projected": {"sources": [{"secret": THEIRS}]}}]),
    ),
    (
        f"{POD}.volumes[v].csi.nodePublishSecretRef.name",
        in_pod(volumes=[{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": THEIRS}}]),
    ),
    (f"{POD}.containers[trainer].envFrom[0].secretRef.name", in_trainer(envFrom=[{"secretRef": THEIRS}])),
    (
        f"{POD}.containers[trainer].env[0].valueFrom.secretKeyRef.name",
        in_trainer(env=[{"name": "A", "valueFrom": {"secretKeyRef": THEIRS | {"key": "k"}}}]),
    ),
)
"""Every way to a Secret."""
CLAIMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("model.name", {"model": {"name": "pvc://theirs/a"}}),
    ("dataset.name", {"dataset": {"name": "pvc://theirs/a"}}),
    (
        "dataset.mixture[1].name",
        {"dataset": {"mixture": [{"name": f"pvc://{n}/a", "weight": 1} for n in ("mine", "theirs")]}},
    ),
    (
        "evaluation.datasets[0].source",
        {"evaluation": {"datasets": [{"name": "news", "source": "pvc://theirs/a"}]}},
    ),
    (
        "evaluation.tasks.folder",
        {"evaluation": {"tasks": {"folder": "pvc://theirs/a", "names": ["weather"]}}},
    ),
    ("evaluation.fairness.pairs", {"evaluation": {"fairness": {"pairs": "pvc://theirs/a.jsonl"}}}),
    (
        "training.reinforcement.rewards[0].model",
        {
            "task": "reinforcement",
            "dataset": {"name": "file:///rows"},
            "training": {"reinforcement": {"rewards": [{"kind": "model", "model": "pvc://theirs/reward"}]}},
        },
    ),
    ("training.fairness.pairs", {"training": {"fairness": {"pairs": "pvc://theirs/a.jsonl"}}}),
    ("dataset.cache", {"dataset": {"name": "pvc://mine/a", "cache": "pvc://theirs/a"}}),
    ("checkpoint.from.output", {"checkpoint": {"from": {"output": "pvc://theirs/a"}}}),
    ("output.uri", {"output": {"uri": "pvc://theirs"}}),
    (
        f"{POD}.volumes[v].persistentVolumeClaim.claimName",
        in_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "theirs"}}]),
    ),
)
"""Every way to a claim."""


@pytest.mark.parametrize(
    ("bounds", "own", "field", "bound"),
    [
        ({"overrides": ["image"]}, {"nodeSelector": {"pool": "x"}}, "spec.nodeSelector", "overrides"),
        ({"overrides": []}, {"resources": {"memory": "4Gi"}}, "spec.resources.memory", "overrides"),
        ({"overrides": []}, {"hostNetwork": True}, "spec.hostNetwork", "overrides"),
        ({"overrides": []}, {"podTemplate": node_terms("x")}, "spec.podTemplate", "overrides"),
        ({"images": ["registry.example.com/ml"]}, {"image": "evil/x:1"}, "spec.image", "images"),
        ({"images": []}, {"image": "registry.example.com/ml/x"}, "spec.image", "images"),
        (
            {"images": ["registry.example.com"]},
            {"podTemplate": {"spec": {"containers": [SIDECAR]}}},
            "spec.podTemplate.spec.containers[side].image",
            "images",
        ),
        (
            {"images": ["registry.example.com"]},
            {"podTemplate": {"spec": {"initContainers": [SIDECAR]}}},
            "spec.podTemplate.spec.initContainers[side].image",
            "images",
        ),
        ({"maxNodes": 1}, {}, "spec.nodes", "maxNodes"),
        (
            {"maxGpus": 8},
            {"gpusPerNode": 8, "resources": {"memory": "64Gi"}},
            "spec.gpusPerNode",
            "maxGpus",
        ),
        (
            {"maxGpus": 8},
            {"podTemplate": {"spec": {"containers": [SIDECAR]}}},
            "spec.podTemplate.spec.containers[side].resources.limits",
            "maxGpus",
        ),
        (
            {"maxGpus": 0},
            {"resources": {"rdma": {"resource": "nvidia.com/gpu"}, "gpuResource": "amd.com/gpu"}},
            "spec.resources.rdma.resource",
            "maxGpus",
        ),
        ({"maxGpuHours": 5}, {"limits": {"gpuHours": 6}}, "spec.limits.gpuHours", "maxGpuHours"),
        (
            {"maxRunSeconds": 60},
            {"activeDeadlineSeconds": 61},
            "spec.activeDeadlineSeconds",
            "maxRunSeconds",
        ),
        ({"priorityClasses": ["low"]}, {"priorityClassName": "high"}, "spec.priorityClassName", "priority"),
        ({"serviceAccounts": []}, {"serviceAccountName": "root"}, "spec.serviceAccountName", "service"),
        *(({"secrets": ["mine"]}, own, f"spec.{path}", "secrets") for path, own in SECRETS),
        *(({"claims": ["checkpoints", "mine"]}, own, f"spec.{path}", "claims") for path, own in CLAIMS),
    ],
)
def test_beyond_a_bound_is_told_with_field_bound_and_runtime(
    bounds: dict[str, Any], own: dict[str, Any], field: str, bound: str
) -> None:
    told = wrong(bounds, None, **own)
    assert len(told) == 1, told
    assert told[0].startswith(f"{field}: ")
    assert f"(bounds.{bound}" in told[0]
    assert "ClusterLLMTrainingRuntime h100" in told[0]


def test_what_the_runtime_itself_says_is_no_override() -> None:
    assert wrong({"overrides": []}, DEFAULTS, priorityClassName="training", hostNetwork=False) == []
    named: dict[str, Any] = {"priorityClasses": [], "serviceAccounts": []}
    assert wrong(named, DEFAULTS, priorityClassName="training") == []
    assert wrong({"images": [], "maxGpus": 0}, DEFAULTS) == [], "its own image, sidecar and RDMA devices"


@pytest.mark.parametrize(
    ("prefix", "image", "right"),
    [
        ("registry.example.com/ml", "registry.example.com/ml/a/b:1", True),
        ("registry.example.com/ml/", "registry.example.com/ml/a", True),
        ("registry.example.com/ml", "registry.example.com/ml:1", True),
        ("registry.example.com/ml", "registry.example.com/ml@sha256:ab", True),
        ("registry.example.com/ml", "registry.example.com/ml-evil/a", False),
        ("registry.example.com", "registry.example.com.evil.org/a", False),
        ("registry.example.com", "registry.example.com:5000/a", False),
        ("registry.example.com", "registry.example.com/a", True),
        ("registry.example.com", "registry.example.com:1", False),
        ("registry.example.com/ml", "registry.example.com/ml:x/evil", False),
        ("registry.example.com/ml", "evil/registry.example.com/ml/a", False),
    ],
)
def test_an_image_comes_from_a_prefix_by_whole_parts(prefix: str, image: str, right: bool) -> None:
    assert comes_from(image, prefix) is right


def test_limits_that_are_edited_while_a_job_runs_stay_within_their_bounds() -> None:
    bounds = {"maxGpuHours": 10, "maxRunSeconds": 600}
    found = merged({}, bounds, limits={"gpuHours": 1e6}, activeDeadlineSeconds=10**6)
    assert (found["limits"]["gpuHours"], found["activeDeadlineSeconds"]) == (10, 600)
    assert merged({}, {"maxNodes": 3}, nodes=9)["nodes"] == 3
    assert merged({}, {"maxGpus": 16}, nodes=9, gpusPerNode=8)["nodes"] == 2
    assert merged({}, {"maxGpus": 4}, nodes=9, gpusPerNode=8)["nodes"] == 9, "told, not made none"
    found = merged({}, bounds)
    assert (found["limits"]["gpuHours"], found["activeDeadlineSeconds"]) == (10, 600)
    found = merged({}, bounds, limits={"gpuHours": 2}, activeDeadlineSeconds=60)
    assert (found["limits"]["gpuHours"], found["activeDeadlineSeconds"]) == (2, 60)


@pytest.mark.parametrize("name", BAD_RUNTIMES)
def test_a_wrong_runtime_is_told_with_the_field(name: str) -> None:
    bad = BAD_RUNTIMES[name]
    with pytest.raises(InvalidRuntime) as caught:
        parse_runtime(runtime(**bad.spec))
    assert any(one.startswith(bad.field) for one in caught.value.mistakes), caught.value.mistakes


def test_the_copy_on_record_is_known_again_whatever_order_it_is_written_in() -> None:
    kind: Kind = "LLMTrainingRuntime"
    one = on_record(kind, "a", 1, {"bounds": {"maxNodes": 1, "maxGpus": None}, "defaults": {}})
    same = on_record(kind, "a", 2, {"defaults": {}, "bounds": {"maxNodes": 1}})
    other = on_record(kind, "a", 2, {"bounds": {"maxNodes": 2}})
    assert one.digest == same.digest != other.digest


def test_the_definitions_are_small_and_have_every_field() -> None:
    for of in RUNTIME_KINDS:
        [version] = runtime_definition(of)["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert set(spec["defaults"]["properties"]) == set(DEFAULTED)
        assert set(OVERRIDABLE) > set(DEFAULTED)
