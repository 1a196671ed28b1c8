"""What a job adds to its worker pods, and that nothing of what the operator needs can be changed by it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from harness.bad_manifests import reinforced
from harness.jobs import SETTINGS, T0, job, manifest, seen

from llmtrain_api import InvalidJob, Setup, SetupStage, names, parse_manifest, parse_spec
from llmtrain_api.schema.pod_checks import OWN_MOUNTS, OWN_VOLUMES
from llmtrain_operator.local.scale_down import GangOverrides, scaled_down
from llmtrain_operator.manifests import mounts
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.manifests.pod import setup_pod
from llmtrain_operator.manifests.volumes import Location
from llmtrain_operator.plan.situation import look

SIDECAR: dict[str, Any] = {
    "name": "watcher",
    "image": "watch:1",
    "securityContext": {"runAsUser": 2000, "capabilities": {"drop": ["NET_RAW"]}},
    "volumeMounts": [{"name": "certs", "mountPath": "/certs"}],
}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/owner": "b"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack"}],
        "securityContext": {"supplementalGroups": [4000]},
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]},
        },
        "volumes": [{"name": "certs", "secret": {"secretName": "certs"}}],
        "containers": [
            {
                "name": "trainer",
                "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
                "envFrom": [{"configMapRef": {"name": "fabric"}}],
                "volumeMounts": [{"name": "certs", "mountPath": "/etc/certs", "readOnly": True}],
            },
            SIDECAR,
        ],
        "initContainers": [{"name": "tune", "image": "tune:1", "command": ["tune"]}],
    },
}


def pods(**spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod of a rank, and of the inspection."""
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None, found.mistakes
    inspects = Setup(stage=SetupStage.INSPECT, number=0, generation=0, started_at=T0)
    return (
        build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS),
        setup_pod(found.job, found.spec, inspects, "img:1", SETTINGS),
    )


def test_what_a_job_adds_stands_beside_what_the_operator_needs() -> None:
    plain, same = pods()
    worker, setup = pods(podTemplate=TEMPLATE)
    nodes = {"nodeAffinity": TEMPLATE["spec"]["affinity"]["nodeAffinity"]}
    same["spec"] |= {"affinity": {**same["spec"]["affinity"], **nodes}}
    assert setup == same, "pods before the gang have of it where they may run, and no more"
    spec, own = worker["spec"], plain["spec"]
    assert worker["metadata"]["labels"] == {"team": "a", **plain["metadata"]["labels"]}
    assert worker["metadata"]["annotations"]["example.com/owner"] == "b"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["topologySpreadConstraints"] == TEMPLATE["spec"]["topologySpreadConstraints"]
    assert spec["securityContext"] == {**own["securityContext"], "supplementalGroups": [4000]}
    assert spec["volumes"] == [*own["volumes"], *TEMPLATE["spec"]["volumes"]]
    apart = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [one["weight"] for one in apart] == [100, 1]
    assert "nodeAffinity" in spec["affinity"]
    trainer, sidecar = spec["containers"]
    [mine] = own["containers"]
    assert trainer["env"] == [*mine["env"], {"name": "NCCL_DEBUG", "value": "INFO"}]
    assert trainer["volumeMounts"][-1]["mountPath"] == "/etc/certs"
    assert trainer["envFrom"] == [{"configMapRef": {"name": "fabric"}}]
    unchanged = ("command", "args", "image", "securityContext", "ports", "resources", "name")
    assert {name: trainer[name] for name in unchanged} == {name: mine[name] for name in unchanged}
    held = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert sidecar == SIDECAR | {"securityContext": {"runAsUser": 2000, **held}}
    [first] = spec["initContainers"]
    assert first["securityContext"] == held


def test_all_that_the_operator_mounts_is_its_own() -> None:
    """No job may lay a volume of its own over it, or take its volume's name."""
    paths = {value for name, value in vars(names).items() if name.endswith("_MOUNT")}
    assert paths <= {*OWN_MOUNTS}
    claims = {"fairness": {"pairs": "pvc://words/pairs.jsonl"}}
    spec = parse_spec(
        {
            "model": {"name": "pvc://models/llama"},
            "dataset": {"name": "pvc://texts/books", "cache": "pvc://tokens/cache"},
            "output": {"uri": "pvc://runs/mine"},
            "evaluation": claims,
            "training": claims,
        },
        strict=True,
    )
    mixed = parse_spec(
        {
            "model": {"name": "builtin://tiny-llama"},
            "dataset": {"mixture": [{"name": f"pvc://{n}", "weight": 1} for n in "ab"]},
            "output": {"uri": "pvc://runs/mine"},
            "evaluation": {
                "datasets": [{"name": "news", "source": "pvc://news"}],
                "tasks": {"folder": "pvc://tasks", "names": ["weather"]},
            },
        },
        strict=True,
    )
    judged = parse_spec(reinforced({"kind": "model", "model": "pvc://judges/reward"})["spec"], strict=True)
    found = [
        *mounts.of_pod("config", ""),
        *mounts.of_model(spec),
        *mounts.of_job(spec, Location("/mnt/origin/other/step", "other")),
        *mounts.of_job(mixed, None),
        *mounts.of_job(judged, None),
        mounts.shared_memory("1Gi"),
    ]
    volumes = {one.name for one in found}
    assert {"origin", "pairs", "penalty-pairs", "model", "reward-model", "cache"} <= volumes
    assert {"dataset-1", "evaluation-0", "tasks"} <= volumes
    assert [name for name in volumes if not OWN_VOLUMES.fullmatch(name)] == []


def test_without_a_template_a_pod_is_as_it_was() -> None:
    assert pods(podTemplate={"spec": {}})[0] == pods()[0]


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "watcher", "image": "watch:1"} | fields]}


def trainer(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "trainer"} | fields]}


def volume(**fields: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "mine"} | fields]}


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "another command": (trainer(command=["sh"]), "containers[trainer].command", "how a rank is started"),
    "other arguments": (trainer(args=["x"]), "containers[trainer].args", "how a rank is started"),
    "another image": (trainer(image="x"), "containers[trainer].image", "use spec.image"),
    "another size": (trainer(resources={}), "containers[trainer].resources", "use spec.resources"),
    "the trainer as root": (trainer(securityContext={}), "containers[trainer].securityContext", "remove it"),
    "a variable of the operator": (
        trainer(env=[{"name": "LLMTRAIN_NODE_RANK", "value": "7"}]),
        "containers[trainer].env[LLMTRAIN_NODE_RANK]",
        "use another name",
    ),
    "another home": (trainer(env=[{"name": "HOME"}]), "containers[trainer].env[HOME]", "use another name"),
    "a mount over the job file": (
        trainer(volumeMounts=[{"name": "mine", "mountPath": "/etc/llmtrain"}]) | volume(emptyDir={}),
        "containers[trainer].volumeMounts[mine].mountPath",
        "is the operator's own",
    ),
    "a mount above the output": (
        trainer(volumeMounts=[{"name": "mine", "mountPath": "/mnt"}]) | volume(emptyDir={}),
        "containers[trainer].volumeMounts[mine].mountPath",
        "/mnt/output is the operator's own",
    ),
    "a mount that climbs": (
        trainer(volumeMounts=[{"name": "mine", "mountPath": "/a/../etc/llmtrain"}]) | volume(emptyDir={}),
        "containers[trainer].volumeMounts[mine].mountPath",
        "absolute path",
    ),
    "the token of a rank in a sidecar": (
        container(volumeMounts=[{"name": "token", "mountPath": "/t"}]),
        "containers[watcher].volumeMounts",
        "name a volume of podTemplate",
    ),
    "a volume of the operator": (
        {"volumes": [{"name": "dataset-3", "emptyDir": {}}]},
        "volumes[dataset-3]",
        "use another",
    ),
    "a folder of the node": (volume(hostPath={"path": "/"}), "volumes[mine]", "a volume is one of"),
    "two kinds in one volume": (volume(emptyDir={}, secret={}), "volumes[mine]", "a volume is one of"),
    "a token of the API": (
        volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        "volumes[mine]",
        "no token of a ServiceAccount",
    ),
    "a privileged sidecar": (
        container(securityContext={"privileged": True}),
        "containers[watcher].securityContext.privileged",
        "use false",
    ),
    "a sidecar as root": (
        container(securityContext={"runAsUser": 0}),
        "containers[watcher].securityContext.runAsUser",
        "not root",
    ),
    "capabilities": (
        container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
        "containers[watcher].securityContext.capabilities.add",
        "no capabilities",
    ),
    "a port of the node": (
        container(ports=[{"containerPort": 80, "hostPort": 80}]),
        "containers[watcher].ports[0].hostPort",
        "remove it",
    ),
    "the port of the ranks": (
        container(ports=[{"containerPort": 29400}]),
        "containers[watcher].ports[0].containerPort",
        "use another",
    ),
    "a hook": (container(lifecycle={}), "containers[watcher].lifecycle", "a job may not set it"),
    "a container without a name": ({"containers": [{"image": "x"}]}, "containers[0]", "a name is missing"),
    "a name twice": (
        {
            "containers": [SIDECAR | {"volumeMounts": []}],
            "initContainers": [{"name": "watcher", "image": "x"}],
        },
        "watcher",
        "is there twice",
    ),
    "the trainer before itself": (
        {"initContainers": [{"name": "trainer", "image": "x"}]},
        "initContainers[trainer]",
        "use another name",
    ),
    "the node's network": ({"hostNetwork": True}, "hostNetwork", "use spec.hostNetwork"),
    "the node's processes": ({"hostPID": True}, "hostPID", "a job may not set it"),
    "a chosen node": ({"nodeName": "n1"}, "nodeName", "use spec.nodeSelector"),
    "restarts by the kubelet": ({"restartPolicy": "Always"}, "restartPolicy", "the operator's to judge"),
    "another name of a rank": ({"hostname": "x"}, "hostname", "ranks find each other by it"),
    "root": ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser", "a job may not set it"),
    "another account": ({"serviceAccountName": "x"}, "serviceAccountName", "use spec.serviceAccountName"),
    "containers that are no list": ({"containers": {"name": "x"}}, "containers", "must be a list"),
    "affinity that is no mapping": (
        {"affinity": {"podAntiAffinity": []}},
        "affinity.podAntiAffinity",
        "must be a mapping",
    ),
    "references that are no list": (
        trainer(envFrom={"a": 1}),
        "containers[trainer].envFrom",
        "must be a list",
    ),
    "too much": ({"dnsConfig": {"searches": ["x" * 40_000]}}, "", "larger than 32768 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_jobs_to_say_is_refused_with_its_path(name: str) -> None:
    spec, path, fix = BAD[name]
    with pytest.raises(InvalidJob) as told:
        parse_manifest(manifest(podTemplate={"spec": spec}))
    [sentence] = told.value.mistakes
    assert sentence.startswith(f"spec.podTemplate.spec: {path}")
    assert fix in sentence


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_names_of_the_operator_are_refused_in_its_metadata(kind: str) -> None:
    with pytest.raises(InvalidJob, match=r"spec\.podTemplate\.metadata"):
        parse_manifest(manifest(podTemplate={"metadata": {kind: {"llmtrain.dev/rank": "0"}}}))


def test_a_template_that_no_checker_could_walk_through_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    spec = manifest()["spec"] | {"podTemplate": {"spec": {"dnsConfig": deep}}}
    with pytest.raises(InvalidJob, match="nested too deeply"):
        parse_spec(spec, strict=False)
    while isinstance(deep, dict):  # or its end would be as deep
        deep = deep.pop("a")


def test_values_of_any_kind_anywhere_end_in_a_pod_or_a_sentence() -> None:
    """Whatever the API server lets through, the operator makes a pod of it or says why not."""
    odd: list[Any] = [
        None,
        0,
        "",
        [],
        {},
        [None],
        [[]],
        [{}],
        {"a": None},
        True,
        [{"name": None}],
        [{"name": 5}],
    ]

    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        return [path, *(one for key, child in inner for one in places(child, (*path, key)))]

    made = 0
    for path in places(TEMPLATE["spec"])[1:]:
        for value in odd:
            template = deepcopy(TEMPLATE)
            at = template["spec"]
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            found = look(seen(job(podTemplate=template)), T0)
            if found.spec is None:
                assert all(mistake.startswith("spec.podTemplate") for mistake in found.mistakes)
                continue
            made += 1
            json.dumps(build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS))
    assert made > 50


def test_processes_have_no_template() -> None:
    document = manifest(podTemplate=TEMPLATE)
    found = scaled_down(document, parse_manifest(document)[1], 0, GangOverrides())
    assert "podTemplate" not in found["spec"]
