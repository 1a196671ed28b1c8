"""`helm test` says whether the installed operator answers through its Service."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from harness.cluster import Cluster, Namespace, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RELEASE, SYSTEM = "llmtrain", "llmtrain-system"


def helm(cluster: Cluster, *words: str) -> str:
    """What helm says of the installed release."""
    command = ["helm", *words, "--namespace", SYSTEM]
    done = subprocess.run(
        command, env=cluster.environment, text=True, capture_output=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_operator_passes(namespace: Namespace) -> None:
    told = helm(namespace.cluster, "test", RELEASE, "--timeout", "150s")
    assert "Succeeded" in told, told


@pytest.mark.proof
def test_a_port_where_no_operator_answers_does_not_pass(namespace: Namespace) -> None:
    """The same pod, with one digit changed: what passes above could have failed."""
    cluster = namespace.cluster
    [pod] = [one for one in yaml.safe_load_all(helm(cluster, "get", "hooks", RELEASE)) if one]
    [container] = pod["spec"]["containers"]
    [url] = container["args"]
    container["args"] = [url.replace(":8080", ":8081")]
    assert container["args"] != [url]
    pod["metadata"] = {"name": "elsewhere", "namespace": SYSTEM, "labels": pod["metadata"]["labels"]}
    path = f"/api/v1/namespaces/{SYSTEM}/pods/elsewhere"
    cluster.call("POST", path.rpartition("/")[0], pod)
    try:

        def failed() -> bool | None:
            found = cluster.get(path) or {}
            assert found["status"].get("phase") != "Succeeded"
            return found["status"].get("phase") == "Failed" or None

        wait_for("the pod fails", failed, 150.0)
        assert "not ready: " in cluster.kubectl("logs", "-n", SYSTEM, "elsewhere").stdout
    finally:
        cluster.call("DELETE", path)
