"""Progress over HTTPS with tokens of a real API server."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from harness.cluster import Namespace, wait_for
from harness.jobs import manifest
from harness.kubelet import FakeKubelet
from integration.conftest import Operator
from integration.test_lifecycle import bring_up

AUDIENCE = "llmtrain.dev/progress"


def token(namespace: Namespace, pod: str | None, audience: str = AUDIENCE) -> str:
    """As the kubelet projects it: bound to the pod."""
    spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 600}
    if pod is not None:
        uid = namespace.pods()[pod]["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    found = namespace.cluster.call("POST", namespace.core("serviceaccounts", "default") + "/token", body)
    return str(found["status"]["token"])


def post(url: str, ca: str, bearer: str | None, body: Any) -> int:
    request = urllib.request.Request(url + "/v1/report", data=json.dumps(body).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    if bearer is not None:
        request.add_header("Authorization", f"Bearer {bearer}")
    try:
        context = ssl.create_default_context(cadata=ca)
        with urllib.request.urlopen(request, context=context, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def target(namespace: Namespace, operator: Operator, kubelet: FakeKubelet) -> tuple[str, str, dict[str, Any]]:
    """Address, CA and a good report, as a worker finds them in its ConfigMap."""
    uid = namespace.apply(manifest())["metadata"]["uid"]
    bring_up(namespace, kubelet)
    data = namespace.cluster.call("GET", namespace.core("configmaps", "tiny-0"))["data"]
    told = json.loads(data["job.json"])
    assert told["version"] == 1
    good = {"jobUid": uid, "attempt": 0, "stage": "train", "step": 5, "totalSteps": 20, "loss": 2.34567}
    good |= {"tokensPerSecond": 4321.7, "mfu": 0.41, "etaSeconds": 90, "checkpointStep": 4, "resumedStep": 0}
    assert operator.process is not None
    return told["report"]["url"], data["ca.crt"], good


def test_a_report_is_shown_by_kubectl_and_by_metrics(
    namespace: Namespace, operator: Operator, target: tuple[str, str, dict[str, Any]]
) -> None:
    url, ca, good = target
    assert post(url, ca, token(namespace, "tiny-0-0"), good) == 200
    progress = wait_for("progress", lambda: namespace.status("tiny").get("progress"))
    assert progress["summary"] == "5/20"
    assert progress["mfu"] == 0.41
    table = namespace.cluster.kubectl("get", "llmjob", "-n", namespace.name).stdout
    for text in ("5/20", "25%", "2.346", "4322", "1m30s"):
        assert text in table, table
    assert namespace.status("tiny")["checkpoint"]["step"] == 4
    assert namespace.status("tiny")["attempts"][0]["resumedStep"] == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port}/metrics", timeout=10) as response:
        series = response.read().decode()
    labels = f'{{name="tiny",namespace="{namespace.name}"}}'
    assert f"llmtrain_job_loss{labels} 2.34567" in series
    assert f"llmtrain_job_step{labels} 5.0" in series
    namespace.cluster.call("DELETE", namespace.jobs_path("tiny"))

    def gone() -> bool:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{operator.health_port}/metrics", timeout=10
        ) as response:
            return labels not in response.read().decode()

    wait_for("series of a deleted job go", gone)


def test_only_the_pod_itself_may_report_for_its_attempt(
    namespace: Namespace, target: tuple[str, str, dict[str, Any]]
) -> None:
    url, ca, good = target
    mine = token(namespace, "tiny-0-0")
    assert post(url, ca, None, good) == 401
    assert post(url, ca, "nonsense", good) == 401
    assert post(url, ca, token(namespace, None), good) == 401, "bound to no pod"
    assert post(url, ca, token(namespace, "tiny-0-0", "https://kubernetes.default.svc"), good) == 401
    assert post(url, ca, mine, good | {"attempt": 1}) == 403
    assert post(url, ca, mine, good | {"jobUid": "another"}) == 403
    assert post(url, ca, mine, {"step": -1}) == 400
    assert "progress" not in namespace.status("tiny")


def test_the_servers_certificate_is_not_taken_on_trust(target: tuple[str, str, dict[str, Any]]) -> None:
    url, _, good = target
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(
            urllib.request.Request(url + "/v1/report", data=json.dumps(good).encode()), timeout=10
        )
