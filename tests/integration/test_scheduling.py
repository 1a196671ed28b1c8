"""Pods' own fields in a job, and the limits of a namespace, before a real API server."""

from __future__ import annotations

import uuid
from typing import Any

from harness.cluster import Namespace, Object, wait_for
from harness.jobs import POD_FIELDS, manifest
from integration.conftest import Operator

GANG = ("tiny-0-0", "tiny-0-1")


def waiting(namespace: Namespace, text: str) -> Object:
    def told() -> Object | None:
        found = namespace.status("tiny").get("waiting", {})
        return found if text in found.get("message", "") else None

    return wait_for(f"waits for {text}", told)


def limits(namespace: Namespace, resource: str, kind: str, **spec: Any) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "limits"}, "spec": spec}
    namespace.cluster.call("POST", namespace.core(resource), body)


def test_the_pods_have_what_the_job_says_and_wait_for_what_is_not_there_yet(
    namespace: Namespace, operator: Operator
) -> None:
    priority = f"high-{uuid.uuid4().hex[:6]}"
    namespace.apply(manifest(**{**POD_FIELDS, "priorityClassName": priority}))
    assert "spec.serviceAccountName" in waiting(namespace, "service account")["message"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer"}}
    namespace.cluster.call("POST", namespace.core("serviceaccounts"), account)
    assert "spec.priorityClassName" in waiting(namespace, priority)["message"]
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": priority}}
    namespace.cluster.call("POST", classes, {**made, "value": 1000})
    try:
        namespace.wait_pods(*GANG, seconds=90)
        pod = namespace.pods()[GANG[0]]
    finally:
        namespace.cluster.call("DELETE", f"{classes}/{priority}")
    spec = pod["spec"]
    for name in ("nodeSelector", "imagePullSecrets", "serviceAccountName"):
        assert spec[name] == POD_FIELDS[name]
    assert spec["priority"] == 1000
    assert spec["automountServiceAccountToken"] is False
    [toleration] = POD_FIELDS["tolerations"]
    assert toleration in spec["tolerations"]
    lost = [t["tolerationSeconds"] for t in spec["tolerations"] if t.get("effect") == "NoExecute"]
    assert lost == [30, 30], "ours, and the cluster adds none of 300 seconds"
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["annotations"]["example.com/owner"] == "Team A"
    assert operator.process is not None


def test_a_default_limit_below_the_request_ends_a_job_with_the_field_that_helps(
    namespace: Namespace, operator: Operator
) -> None:
    default = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
    limits(namespace, "limitranges", "LimitRange", limits=[default])
    namespace.apply(manifest())
    failure = namespace.wait_phase("tiny", "Failed")["failure"]
    assert "cpu limit of 500m" in failure["message"]
    assert "spec.resources.cpuLimit" in failure["hint"]
    namespace.cluster.call("DELETE", namespace.jobs_path("tiny"))
    wait_for("it is gone", lambda: namespace.cluster.get(namespace.jobs_path("tiny")) is None)
    namespace.apply(manifest(resources={"cpuLimit": 1}))
    namespace.wait_pods(*GANG)
    assert operator.process is not None


def test_under_a_quota_on_cpu_limits_a_job_runs_once_it_has_one(
    namespace: Namespace, operator: Operator
) -> None:
    limits(namespace, "resourcequotas", "ResourceQuota", hard={"limits.cpu": "8", "limits.memory": "32Gi"})
    namespace.apply(manifest())
    failure = namespace.wait_phase("tiny", "Failed")["failure"]
    assert "limits.cpu" in failure["message"]
    assert "spec.resources.cpuLimit" in failure["hint"]
    namespace.cluster.call("DELETE", namespace.jobs_path("tiny"))
    wait_for("it is gone", lambda: namespace.cluster.get(namespace.jobs_path("tiny")) is None)
    namespace.apply(manifest(resources={"cpu": 0.5, "cpuLimit": "1500m"}))
    namespace.wait_pods(*GANG)
    [container] = namespace.pods()[GANG[0]]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == "1500m"
    assert operator.process is not None
