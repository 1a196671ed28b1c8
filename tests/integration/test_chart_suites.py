"""What a platform team asks of the chart before it is let in: profiles, tenants, registries, and typos."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.charts import CHART, Objects, Refused, helm, not_restricted, objects_of, pods_of, rendered
from harness.jobs import SETTINGS, job, running

import chartreadme
from llmtrain_api import parse_spec
from llmtrain_operator.manifests.pod import pod as worker
from llmtrain_operator.settings import Settings, parse

ALL = (
    "web.enabled=true",
    'web.tlsSecret="tls"',
    "monitoring.podMonitor=true",
    "monitoring.rules=true",
    "monitoring.dashboards=true",
    'notifications.allow=["hooks.example.com"]',
    'notifications.secrets=["slack"]',
    'tracing.endpoint="http://collector:4318"',
    'tracing.headersSecret="collector"',
)
"""With all that may be turned on."""
OPERATOR, WEB, TEST = "llm-training-operator", "llm-training-operator-web", "llm-training-operator-test"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = (CHART / "values.yaml").read_text()
GROUPS = ["", *(one.path for one in chartreadme.values(VALUES, SCHEMA) if one.default is None)]
DIGEST = "sha256:" + "a" * 64


def profile(name: str, *settings: str) -> Objects:
    """The chart with a profile of its own."""
    given = [word for setting in settings for word in ("--set-json", setting)]
    path = CHART / "profiles" / f"{name}.yaml"
    text = helm(
        "template", "x", CHART, "--namespace", "ops", "--kube-version", "1.34", "--values", path, *given
    )
    return objects_of(text)


def flags(objects: Objects) -> Settings:
    """As the operator reads them."""
    [container] = pods_of(objects)[OPERATOR]["containers"]
    return parse([text.replace("$$", "$") for text in container["args"]])


@pytest.mark.parametrize("group", GROUPS)
def test_a_value_that_there_is_not_is_refused_wherever_it_stands(group: str) -> None:
    path = f"{group}.tpyo" if group else "tpyo"
    with pytest.raises(Refused, match="tpyo"):
        rendered("ops", f"{path}=1")


@pytest.mark.parametrize(
    "setting",
    [
        'resources={"request": {"cpu": 1}}',
        'web.resources={"limits": {"memory": ["1Gi"]}}',
        'podAnnotations={"a": 1}',
        'nodeSelector={"pool": true}',
        'tolerations=[{"effect": "NoRun"}]',
        'imagePullSecrets=["pull"]',
        "runAsUser=0",
        'tracing.endpoint="collector:4318"',
        'image.digest="sha256:abc"',
        "replicas=0",
    ],
)
def test_a_value_of_a_wrong_kind_is_refused(setting: str) -> None:
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        rendered("ops", setting)


@pytest.mark.parametrize("more", [(), ("runAsUser=null",)])
def test_every_pod_passes_the_restricted_profile(more: tuple[str, ...]) -> None:
    pods = pods_of(rendered("ops", *ALL, *more))
    assert set(pods) == {OPERATOR, WEB, TEST}
    assert {name: not_restricted(spec) for name, spec in pods.items() if not_restricted(spec)} == {}
    read_only = [
        c["securityContext"]["readOnlyRootFilesystem"] for p in pods.values() for c in p["containers"]
    ]
    assert all(read_only)


def worker_pod(objects: Objects) -> dict[str, Any]:
    """The pod of a rank under the flags of a release."""
    found = job(running())
    settings = replace(SETTINGS, run_as_user=flags(objects).run_as_user)
    spec: dict[str, Any] = worker(found, parse_spec(found.spec, strict=True), 0, 0, "trainer:1", settings)[
        "spec"
    ]
    return spec


def test_on_openshift_nobody_names_a_user() -> None:
    objects = profile("openshift")
    pods = {**pods_of(objects), "worker": worker_pod(objects)}
    told = json.dumps(pods)
    assert not re.search('runAsUser|runAsGroup|fsGroup"', told)
    assert [name for name, spec in pods.items() if not_restricted(spec)] == []
    ids = ("runAsUser", "runAsGroup", "fsGroup")
    elsewhere = worker_pod(rendered("ops"))["securityContext"]
    assert [elsewhere[name] for name in ids] == [1000, 1000, 1000]
    other = rendered("ops", "runAsUser=4711")
    assert [worker_pod(other)["securityContext"][name] for name in ids] == [4711, 4711, 4711]
    assert {spec["securityContext"]["runAsUser"] for spec in pods_of(other).values()} == {4711}
    assert {("PodMonitor", OPERATOR), ("PrometheusRule", OPERATOR)} <= set(objects)
    monitoring = objects["NetworkPolicy", OPERATOR]["spec"]["ingress"][-1]["from"][0]["namespaceSelector"]
    assert monitoring["matchLabels"] == {"kubernetes.io/metadata.name": "openshift-user-workload-monitoring"}


def test_without_the_internet_every_image_is_of_one_registry_by_digest() -> None:
    objects = profile("air-gapped", "web.enabled=true")
    images = {c["image"] for spec in pods_of(objects).values() for c in spec["containers"]}
    settings = flags(objects)
    for image in {*images, settings.trainer_image}:
        assert re.fullmatch(
            r"registry\.example\.com/ml/llmtrain-(operator|trainer)@sha256:[0-9a-f]{64}", image
        )
    secrets = [{"name": "registry"}]
    assert {name: s.get("imagePullSecrets") for name, s in pods_of(objects).items()} == dict.fromkeys(
        (OPERATOR, WEB, TEST), secrets
    )
    assert settings.worker_defaults.to_json()["imagePullSecrets"] == secrets
    assert (settings.notify_allow, settings.notify_inside, settings.trace_endpoint) == ((), (), "")


def test_in_one_namespace_nothing_of_others_is_read() -> None:
    objects = profile("namespaced")
    assert flags(objects).watch_namespace == "jobs"
    cluster = [o for (kind, _), o in objects.items() if kind == "ClusterRole"]
    rules = {
        (group, resource): set(rule["verbs"])
        for role in cluster
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rules == {
        ("authentication.k8s.io", "tokenreviews"): {"create"},
        ("llmtrain.dev", "clusterllmtrainingruntimes"): {"get", "list", "watch"},
    }
    assert not [kind for kind, _ in objects if kind == "CustomResourceDefinition"]
    bound = [
        o
        for (kind, _), o in objects.items()
        if kind == "RoleBinding" and o["metadata"]["namespace"] == "jobs"
    ]
    assert len(bound) == 1


def test_two_namespaced_releases_with_everything_stand_side_by_side() -> None:
    of = {
        team: rendered(
            f"{team}-ops", *ALL, f'watchNamespace="{team}"', f"crds.enabled={json.dumps(team == 'a')}"
        )
        for team in ("a", "b")
    }

    def places(team: str) -> set[tuple[str, str, str]]:
        return {(kind, o["metadata"].get("namespace", ""), name) for (kind, name), o in of[team].items()}

    assert not places("a") & places("b")
    for team, objects in of.items():
        assert flags(objects).watch_namespace == team
        bindings = [o for (kind, _), o in objects.items() if kind.endswith("RoleBinding")]
        assert {s["namespace"] for o in bindings for s in o["subjects"]} == {f"{team}-ops"}
        roles = {(kind, name) for kind, name in objects if kind in ("Role", "ClusterRole")}
        assert {(o["roleRef"]["kind"], o["roleRef"]["name"]) for o in bindings} <= roles
        watching = objects["PodMonitor", f"{OPERATOR}-ranks"]["spec"]["namespaceSelector"]
        assert watching == {"matchNames": [team]}


def test_a_digest_names_every_pod_of_that_image() -> None:
    pods = pods_of(rendered("ops", *ALL, f'image.digest="{DIGEST}"', 'image.tag="1.2.3"'))
    assert {c["image"] for spec in pods.values() for c in spec["containers"]} == {
        f"localhost/llmtrain-operator@{DIGEST}"
    }


def test_helm_test_asks_the_service_and_is_let_in() -> None:
    objects = rendered("ops")
    asking, service = objects["Pod", TEST], objects["Service", OPERATOR]
    assert asking["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [container] = asking["spec"]["containers"]
    assert container["command"] == ["python3", "-m", "llmtrain_operator.probe"]
    found = re.fullmatch(r"http://([^.]+)\.ops\.svc:(\d+)", container["args"][0])
    assert found is not None
    [port] = [one for one in service["spec"]["ports"] if one["port"] == int(found[2])]
    assert found[1] == service["metadata"]["name"]
    policy = objects["NetworkPolicy", OPERATOR]["spec"]
    let_in = [
        rule
        for rule in policy["ingress"]
        for peer in rule["from"]
        if set(peer) == {"podSelector"}
        and peer["podSelector"]["matchLabels"].items() <= asking["metadata"]["labels"].items()
    ]
    assert [rule["ports"] for rule in let_in] == [[{"protocol": "TCP", "port": port["targetPort"]}]]
    selected = service["spec"]["selector"].items()
    assert not selected <= asking["metadata"]["labels"].items(), "it would be asked itself"
    assert "app.kubernetes.io/managed-by" not in asking["metadata"]["labels"], "it would be taken for a rank"


def test_traces_are_off_until_a_collector_is_named() -> None:
    def of(*settings: str) -> tuple[str, list[dict[str, Any]]]:
        objects = rendered("ops", *settings)
        [container] = pods_of(objects)[OPERATOR]["containers"]
        secret = [
            one["valueFrom"]["secretKeyRef"] for one in container["env"] if "secretKeyRef" in one["valueFrom"]
        ]
        return flags(objects).trace_endpoint, secret

    assert of() == of('tracing.headersSecret="collector"') == ("", [])
    assert of('tracing.endpoint="https://c:4318/otlp"') == ("https://c:4318/otlp", [])
    both = of('tracing.endpoint="http://c:4318"', 'tracing.headersSecret="collector"')
    assert both == ("http://c:4318", [{"name": "collector", "key": "headers"}])


def test_every_object_says_whose_it_is_and_where_it_goes() -> None:
    for (kind, name), found in rendered("ops", *ALL, 'priorityClasses={"low": -1}').items():
        if kind == "CustomResourceDefinition":
            continue
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "llmtrain", (kind, name)
        assert labels["app.kubernetes.io/name"].startswith(OPERATOR), (kind, name)
        scoped = kind in ("ClusterRole", "ClusterRoleBinding", "PriorityClass")
        assert ("namespace" in found["metadata"]) != scoped, (kind, name)


@pytest.mark.parametrize("path", sorted((CHART / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_helm_finds_no_fault_with_a_profile(path: Path) -> None:
    helm("lint", "--strict", CHART, "--values", path)
