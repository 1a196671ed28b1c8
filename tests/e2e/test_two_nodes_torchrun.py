"""The ground of everything: torchrun on two nodes meets by a pod's DNS name and reduces with gloo."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.e2e
IMAGE = os.environ.get("TRAINER_IMAGE", "localhost/llmtrain-trainer:dev")
NODES = 2
PROGRAM = """\
import torch, torch.distributed as dist
dist.init_process_group("gloo")
value = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(value)
print("sum", value.item(), "of", dist.get_world_size(), flush=True)
dist.destroy_process_group()
"""


def kubectl(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    if "KUBECONFIG" not in os.environ:
        pytest.skip('needs a cluster: eval "$(hack/cluster env)"')
    name = f"torchrun-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def worker(rank: int) -> dict[str, object]:
    words = ["torchrun", "--nnodes", NODES, "--node-rank", rank, "--nproc-per-node", 1]
    command = [*words, "--master-addr", "worker-0.gang", "--master-port", 29500, "/program/main.py"]
    container = {
        "name": "trainer",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": [str(word) for word in command],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "USER", "value": "trainer"}],
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"worker-{rank}", "labels": {"gang": "yes"}},
        "spec": {
            "hostname": f"worker-{rank}",
            "subdomain": "gang",
            "nodeSelector": {"kubernetes.io/hostname": f"node{rank + 1}"},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "program", "configMap": {"name": "program"}}],
        },
    }


def test_two_pods_on_two_nodes_reduce(namespace: str) -> None:
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"gang": "yes"}}
    program = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "program"}}
    gang = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gang"}, "spec": service}
    items = [{**program, "data": {"main.py": PROGRAM}}, gang, *(worker(rank) for rank in range(NODES))]
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl("apply", "-n", namespace, "-f", "-", stdin=body)
    pods = [f"pod/worker-{rank}" for rank in range(NODES)]
    done = "jsonpath={.status.phase}=Succeeded"
    kubectl("wait", "-n", namespace, f"--for={done}", "--timeout=180s", *pods)
    for one in pods:
        assert "sum 3.0 of 2" in kubectl("logs", "-n", namespace, one)
    nodes = kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert sorted(nodes) == ["node1", "node2"]
