"""The chart as Helm renders it, and as a real API server takes it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from harness.charts import CHART, Objects, Refused, helm, rendered
from harness.cluster import Cluster
from harness.jobs import POD_FIELDS

from llmtrain_api import WorkerDefaults
from llmtrain_operator.settings import parse


def arguments(objects: Objects) -> list[str]:
    found: list[str] = objects["Deployment", "llm-training-operator"]["spec"]["template"]["spec"][
        "containers"
    ][0]["args"]
    return found


def test_the_api_server_takes_every_object_of_it(cluster: Cluster) -> None:
    scoped = ('watchNamespace="default"', "networkPolicy.metricsNamespace=null")
    classes = 'priorityClasses={"llm-low": -100, "llm-high": 100}'
    told = 'notifications.secrets=["slack"]'
    for settings in (("web.enabled=true", classes, "monitoring.dashboards=true", told), scoped):
        objects = rendered("default", *settings)
        documents = "\n---\n".join(json.dumps(found) for found in objects.values())
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=documents)


def test_what_prometheus_gets_is_there_when_it_is_asked_for() -> None:
    monitors = {"PodMonitor", "PrometheusRule"}
    assert not monitors & {kind for kind, _ in rendered("default")}
    asked = "podMonitor", "rules", "dashboards"
    settings = [f"monitoring.{one}=true" for one in asked]
    objects = rendered("default", *settings, 'monitoring.labels={"release": "prometheus"}')
    rule = objects["PrometheusRule", "llm-training-operator"]
    committed = yaml.safe_load((CHART / "monitoring" / "alerts.yaml").read_text())
    assert rule["spec"] == committed
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    ranks = objects["PodMonitor", "llm-training-operator-ranks"]["spec"]
    assert ranks["namespaceSelector"] == {"any": True}
    assert ranks["podMetricsEndpoints"][0]["port"] == "metrics"
    own = objects["PodMonitor", "llm-training-operator"]["spec"]
    labels = objects["Deployment", "llm-training-operator"]["spec"]["template"]["metadata"]["labels"]
    assert own["selector"]["matchLabels"] == labels
    boards = objects["ConfigMap", "llm-training-operator-dashboards"]
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    titles = {json.loads(text)["title"] for text in boards["data"].values()}
    assert len(titles) == 3
    one = rendered("default", *settings, 'watchNamespace="jobs"')
    ranks = one["PodMonitor", "llm-training-operator-ranks"]["spec"]
    assert ranks["namespaceSelector"] == {"matchNames": ["jobs"]}


def test_priority_classes_never_preempt_single_pods() -> None:
    objects = rendered("default", 'priorityClasses={"llm-high": 100}')
    found = objects["PriorityClass", "llm-high"]
    assert (found["value"], found["preemptionPolicy"]) == (100, "Never")
    assert ("PriorityClass", "llm-high") not in rendered("default")


def test_a_drained_node_takes_one_operator_at_a_time() -> None:
    objects = rendered("default")
    budget = objects["PodDisruptionBudget", "llm-training-operator"]["spec"]
    labels = objects["Deployment", "llm-training-operator"]["spec"]["template"]["metadata"]["labels"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    assert ("PodDisruptionBudget", "llm-training-operator") not in rendered("default", "replicas=1"), (
        "it would keep a drain from ending"
    )


def test_two_releases_share_no_object_but_the_crd() -> None:
    first = rendered("team-a", 'watchNamespace="jobs"')
    second = rendered("team-b", 'watchNamespace="jobs"', "crds.enabled=false")

    def places(objects: Objects) -> set[tuple[str, str, str]]:
        return {(kind, o["metadata"].get("namespace", ""), name) for (kind, name), o in objects.items()}

    assert not places(first) & places(second)


def test_nobody_but_the_operator_may_write_status() -> None:
    objects = rendered("default")
    roles = [o for (kind, _), o in objects.items() if kind == "ClusterRole"]
    aggregated = [r for r in roles if any("aggregate-to" in label for label in r["metadata"]["labels"])]
    assert len(aggregated) == 2
    resources = [x for role in aggregated for rule in role["rules"] for x in rule["resources"]]
    assert set(resources) == {"llmtrainingjobs", "llmtrainingsweeps", "llmtrainingruntimes"}
    writing = [rule for role in aggregated for rule in role["rules"] if "create" in rule["verbs"]]
    written = ["llmtrainingjobs", "llmtrainingsweeps"]
    assert [rule["resources"] for rule in writing] == [written], "bounds are the platform team's"
    assert not [k for k in rendered("default", "aggregatedRoles=false") if k[1].endswith("-edit")]


def test_isolation_is_on_and_may_be_turned_off() -> None:
    objects = rendered("default")
    assert "--network-policy=true" in arguments(objects)
    assert "--metrics-namespace=kubernetes.io/metadata.name=monitoring" in arguments(objects)
    reports, forwarded, tests, metrics = objects["NetworkPolicy", "llm-training-operator"]["spec"]["ingress"]
    assert reports["ports"] == forwarded["ports"] == [{"protocol": "TCP", "port": "progress"}]
    assert tests["ports"] == metrics["ports"] == [{"protocol": "TCP", "port": "http"}]
    off = rendered("default", "networkPolicy.enabled=false")
    assert "--network-policy=false" in arguments(off)
    assert ("NetworkPolicy", "llm-training-operator") not in off
    rules = off["ClusterRole", "llm-training-operator-default"]["rules"]
    assert not [rule for rule in rules if "networkpolicies" in rule["resources"]]


def test_notifications_are_off_and_bring_no_right_to_secrets() -> None:
    def rights(objects: Objects) -> list[dict[str, Any]]:
        rules = objects["ClusterRole", "llm-training-operator-default"]["rules"]
        return [rule for rule in rules if "secrets" in rule["resources"]]

    off = rendered("default")
    assert not [flag for flag in arguments(off) if flag.startswith("--notify")]
    assert rights(off) == []
    asked = ('notifications.allow=["*.example.com:8443", "*"]', 'notifications.secrets=["slack", "ci"]')
    on = rendered("default", *asked, 'notifications.inside=["events.tools.svc:8080"]')
    flags = [flag for flag in arguments(on) if flag.startswith("--notify")]
    settings = parse(["--trainer-image=t", *flags])
    assert settings.notify_allow == ("*.example.com:8443", "*")
    assert settings.notify_inside == ("events.tools.svc:8080",)
    assert settings.notify_secrets == ("slack", "ci")
    names = {"resources": ["secrets"], "resourceNames": ["slack", "ci"], "verbs": ["get"]}
    assert rights(on) == [{"apiGroups": [""], **names}]


def test_an_image_may_be_pinned_by_its_digest() -> None:
    digest = "sha256:" + "a" * 64
    objects = rendered("default", f'image.digest="{digest}"')
    [container] = objects["Deployment", "llm-training-operator"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/llmtrain-operator@{digest}"


def worker_defaults(objects: Objects) -> WorkerDefaults:
    """As the operator has them: Kubernetes takes $$ in an argument for a $, and no shell reads it."""
    [flag] = [text for text in arguments(objects) if text.startswith("--worker-defaults=")]
    assert not re.search(r"(?<!\$)(\$\$)*\$\(", flag), "it would be expanded"
    return parse(["--trainer-image=t", flag.replace("$$", "$")]).worker_defaults


def test_what_the_installation_says_of_worker_pods_reaches_the_operator() -> None:
    assert worker_defaults(rendered("default")) == WorkerDefaults()
    given = {k: v for k, v in POD_FIELDS.items() if k not in ("serviceAccountName", "labels")}
    given["annotations"] = {"example.com/odd": 'a "quoted" <text> of $(HOME), $$ and\nü: {x}'}
    settings = [f"trainer.{name}={json.dumps(value)}" for name, value in given.items()]
    found = worker_defaults(rendered("default", *settings))
    assert found.to_json() == given
    assert worker_defaults(rendered("default", "trainer.tolerations=null")) == WorkerDefaults()


def test_helm_refuses_what_no_pod_has() -> None:
    for setting in (
        'trainer.tolerations=[{"key": "a", "effect": "NoRun"}]',
        'trainer.imagePullSecrets=["pull"]',
        'trainer.nodeSelector={"pool": 1}',
        'trainer.priority="high"',
    ):
        with pytest.raises(Refused, match="/trainer"):
            helm("template", "x", CHART, "--kube-version", "1.34", "--set-json", setting)
