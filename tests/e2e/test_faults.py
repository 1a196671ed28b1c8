"""One job on two real kubelets: its processes are killed, its pods force-deleted, its operator too."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, Namespace, wait_for
from support.jobs import manifest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif("LLMTRAIN_FAULTS" not in os.environ, reason="minutes long: `make faults` runs it"),
]

KILL = """
import os, signal, sys
want = sys.argv[1]
for pid in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline").read().split("\\0")
    environment = open(f"/proc/{pid}/environ").read().split("\\0")
    worker = any(word.startswith("LOCAL_RANK=") for word in environment)
    torchrun = not worker and any("torch.distributed.run" in w or w.endswith("torchrun") for w in words)
    if pid != "1" and (worker if want == "worker" else torchrun):
        os.kill(int(pid), signal.SIGKILL)
        print("killed", pid)
        break
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """A namespace with a shared claim of its own, under Pod Security ``restricted``."""
    cluster = Cluster({"KUBECONFIG": os.environ["KUBECONFIG"], "PATH": os.environ["PATH"]})
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.call("POST", "/api/v1/namespaces", body)
    folder = volume(cluster) / name
    folder.mkdir()
    folder.chmod(0o777)
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    pv = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **common,
            "capacity": {"storage": "10Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": name, "name": "checkpoints"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "checkpoints"},
        "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": "10Gi"}}},
    }
    cluster.call("POST", "/api/v1/persistentvolumes", pv)
    cluster.call("POST", f"/api/v1/namespaces/{name}/persistentvolumeclaims", claim)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("default ServiceAccount", lambda: cluster.get(account))
    yield Namespace(cluster, name)
    cluster.call("DELETE", f"/api/v1/namespaces/{name}")
    cluster.call("DELETE", f"/api/v1/persistentvolumes/{name}")


def volume(cluster: Cluster) -> Path:
    for pv in cluster.call("GET", "/api/v1/persistentvolumes")["items"]:
        if pv["spec"].get("claimRef", {}).get("namespace") == "default":
            return Path(pv["spec"]["hostPath"]["path"])
    raise AssertionError("no shared volume")


def committed(output: Path) -> list[dict[str, Any]]:
    found = [json.loads(p.read_text()) for p in output.glob("checkpoints/step-*/manifest.json")]
    return sorted(found, key=lambda m: m["step"])


def kill_process(namespace: Namespace, pod: str, what: str) -> None:
    said = namespace.cluster.kubectl(
        "exec", "-n", namespace.name, pod, "--", "python3", "-c", KILL, what
    ).stdout
    assert "killed" in said


def force_delete(namespace: Namespace, pod: str) -> None:
    namespace.cluster.kubectl("delete", "pod", pod, "-n", namespace.name, "--force", "--grace-period=0")


def kill_operator(namespace: Namespace) -> None:
    selector = "app.kubernetes.io/name=llm-training-operator"
    namespace.cluster.kubectl(
        "delete", "pod", "-n", "llmtrain-system", "-l", selector, "--force", "--grace-period=0"
    )


FAULTS = (
    ("python of rank 0", lambda ns, k: kill_process(ns, f"faults-{k}-0", "worker")),
    ("python of rank 1", lambda ns, k: kill_process(ns, f"faults-{k}-1", "worker")),
    ("torchrun of pod 1", lambda ns, k: kill_process(ns, f"faults-{k}-1", "torchrun")),
    ("pod of rank 0", lambda ns, k: force_delete(ns, f"faults-{k}-0")),
    ("pod of rank 1", lambda ns, k: force_delete(ns, f"faults-{k}-1")),
)


def test_each_fault_costs_one_attempt_and_nothing_that_was_committed(namespace: Namespace) -> None:
    steps = 400
    spec = manifest(
        "faults",
        model={"name": "builtin://tiny-llama", "hiddenSize": 32, "numLayers": 2, "vocabSize": 512},
        dataset={"name": "builtin://python-stdlib", "maxBytes": 500_000},
        training={"maxSteps": steps, "globalBatchSize": 4, "microBatchSize": 2, "sequenceLength": 32},
        checkpoint={"everySteps": 25, "keep": 1000},
        evaluation={"everySteps": 0, "maxSequences": 32},
    )
    namespace.apply(spec)
    kill_operator(namespace)  # while it starts
    output = volume(namespace.cluster) / namespace.name / "faults"
    for k, (name, fault) in enumerate(FAULTS):
        namespace.wait_phase("faults", "Running", k, 120)

        def advanced(k: int = k) -> bool:
            return any(m["attempt"] == k for m in committed(output))

        wait_for(f"a checkpoint of attempt {k}", advanced, 120)
        assert committed(output)[-1]["step"] < 0.8 * steps, f"{name}: too late to count"
        if k == 2:
            kill_operator(namespace)  # while it runs
        fault(namespace, k)
        if k == 3:
            kill_operator(namespace)  # while it restarts
        wait_for(f"{name}: attempt {k + 1}", lambda k=k: namespace.status("faults")["attempt"] == k + 1, 60)
    status = namespace.wait_phase("faults", "Succeeded", len(FAULTS), 300)
    assert status["restarts"]["total"] == len(FAULTS)
    found = committed(output)
    attempts = status["attempts"]
    for number in range(1, len(FAULTS) + 1):
        newest = max(m["step"] for m in found if m["attempt"] < number)
        assert attempts[number]["resumedStep"] == newest, f"attempt {number}"
        earlier = [m for m in found if m["attempt"] == number and m["step"] <= newest]
        assert not earlier, "an attempt went over what was committed"
    audit = Path(os.environ["KUBECONFIG"]).parents[1] / "logs" / "audit.log"
    assert len(namespace.pod_creates(audit)) == 2 * len(attempts)
    assert re.search(r"resum", (output / "logs" / "attempt-1" / "rank-0.log").read_text())

    uid = namespace.job("faults")["metadata"]["uid"]
    namespace.cluster.call("DELETE", namespace.jobs_path("faults"))

    def gone() -> bool:
        selector = f"?labelSelector=llmtrain.dev/job-uid={uid}"
        kinds = ("pods", "services", "configmaps")
        return not any(namespace.cluster.call("GET", namespace.core(k) + selector)["items"] for k in kinds)

    wait_for("every child is gone", gone, 40)
    namespace.apply(spec)
    failed = namespace.wait_phase("faults", "Failed", 0, 60)["failure"]
    assert failed["class"] == "ConfigError"
    assert "output" in failed["message"]
    assert uid in failed["message"] or "faults" in failed["message"]
