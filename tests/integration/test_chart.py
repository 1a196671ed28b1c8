"""The chart as Helm renders it, and as a real API server takes it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml
from harness.cluster import ROOT, Cluster

CHART = ROOT / "helm" / "llm-training-operator"
Objects = dict[tuple[str, str], dict[str, Any]]


def rendered(cluster: Cluster, namespace: str, *settings: str) -> Objects:
    """Every object by kind and name."""
    command = ["helm", "template", "llmtrain", str(CHART), "--namespace", namespace, "--kube-version", "1.34"]
    command += [word for setting in settings for word in ("--set-json", setting)]
    done = subprocess.run(command, env=cluster.environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(done.stdout) if o}


def arguments(objects: Objects) -> list[str]:
    found: list[str] = objects["Deployment", "llm-training-operator"]["spec"]["template"]["spec"][
        "containers"
    ][0]["args"]
    return found


def test_the_api_server_takes_every_object_of_it(cluster: Cluster) -> None:
    for settings in ((), ('watchNamespace="default"', "networkPolicy.metricsNamespace=null")):
        objects = rendered(cluster, "default", *settings)
        for found in objects.values():
            done = subprocess.run(
                ["kubectl", "apply", "--dry-run=server", "-f", "-"],
                input=json.dumps(found),
                env=cluster.environment,
                text=True,
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, (found["kind"], done.stderr)


def test_two_releases_share_no_object_but_the_crd(cluster: Cluster) -> None:
    first = rendered(cluster, "team-a", 'watchNamespace="jobs"')
    second = rendered(cluster, "team-b", 'watchNamespace="jobs"', "crds.enabled=false")

    def places(objects: Objects) -> set[tuple[str, str, str]]:
        return {(kind, o["metadata"].get("namespace", ""), name) for (kind, name), o in objects.items()}

    assert not places(first) & places(second)


def test_nobody_but_the_operator_may_write_status(cluster: Cluster) -> None:
    objects = rendered(cluster, "default")
    roles = [o for (kind, _), o in objects.items() if kind == "ClusterRole"]
    aggregated = [r for r in roles if any("aggregate-to" in label for label in r["metadata"]["labels"])]
    assert len(aggregated) == 2
    resources = [x for role in aggregated for rule in role["rules"] for x in rule["resources"]]
    assert set(resources) == {"llmtrainingjobs"}
    assert not [k for k in rendered(cluster, "default", "aggregatedRoles=false") if k[1].endswith("-edit")]


def test_isolation_is_on_and_may_be_turned_off(cluster: Cluster) -> None:
    objects = rendered(cluster, "default")
    assert "--network-policy=true" in arguments(objects)
    assert "--metrics-namespace=kubernetes.io/metadata.name=monitoring" in arguments(objects)
    reports, metrics = objects["NetworkPolicy", "llm-training-operator"]["spec"]["ingress"]
    assert reports["ports"] == [{"protocol": "TCP", "port": "progress"}]
    assert metrics["ports"] == [{"protocol": "TCP", "port": "http"}]
    off = rendered(cluster, "default", "networkPolicy.enabled=false")
    assert "--network-policy=false" in arguments(off)
    assert ("NetworkPolicy", "llm-training-operator") not in off
    rules = off["ClusterRole", "llm-training-operator-default"]["rules"]
    assert not [rule for rule in rules if "networkpolicies" in rule["resources"]]


def test_an_image_may_be_pinned_by_its_digest(cluster: Cluster) -> None:
    digest = "sha256:" + "a" * 64
    objects = rendered(cluster, "default", f'image.digest="{digest}"')
    [container] = objects["Deployment", "llm-training-operator"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/llmtrain-operator@{digest}"
