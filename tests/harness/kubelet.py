"""Plays scheduler and kubelet on a control plane that has no nodes: binds, starts, ends and removes pods."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from harness.cluster import Cluster, Namespace, Refused

HEARTBEAT_SECONDS = 2.0
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class FakeNode:
    """A Node that is Ready. Without a capacity it takes only pods that are bound to it by hand; with one, the
    scheduler puts those there that select it by the label ``pool``.

    Pods on a node that no object stands for are collected as garbage, and a node without heartbeats is taken
    for lost.
    """

    def __init__(self, cluster: Cluster, name: str, capacity: dict[str, str] | None = None) -> None:
        self.cluster = cluster
        self.name = name
        self.capacity = capacity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeNode:
        node = {"apiVersion": "v1", "kind": "Node", "spec": {"unschedulable": self.capacity is None}}
        labelled = {"metadata": {"name": self.name, "labels": {"pool": self.name}}}
        self.cluster.call("POST", "/api/v1/nodes", node | labelled)
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": self._renewed()}
        self.cluster.call("POST", LEASES, lease | {"metadata": {"name": self.name}})
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
        status: dict[str, Any] = {"conditions": [ready]}
        if self.capacity is not None:
            status |= {"capacity": self.capacity, "allocatable": self.capacity}
        self.cluster.merge(f"/api/v1/nodes/{self.name}/status", {"status": status})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.cluster.call("DELETE", f"{LEASES}/{self.name}")
        self.cluster.call("DELETE", f"/api/v1/nodes/{self.name}")

    def _renewed(self) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now}

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self.cluster.merge(f"{LEASES}/{self.name}", {"spec": self._renewed()})


class FakeKubelet:
    """Binds every pod of a namespace to a node of its own and takes away the ones that are being deleted
    after ``linger`` s."""

    def __init__(self, namespace: Namespace, linger: float = 0.3) -> None:
        self.namespace = namespace
        self.linger = linger
        self._node = FakeNode(namespace.cluster, namespace.name)
        self._stop = threading.Event()
        self._going: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeKubelet:
        self._node.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._node.__exit__()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for name, pod in self.namespace.pods().items():
                try:
                    self._look(name, pod)
                except Refused as refused:
                    if refused.status not in (404, 409):
                        raise

    def _look(self, name: str, pod: dict[str, Any]) -> None:
        cluster, path = self.namespace.cluster, self.namespace.core("pods", name)
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            waited = self._going.get(uid, 0.0)
            self._going[uid] = waited + 0.1
            if waited >= self.linger:
                cluster.call("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
        elif "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": self._node.name}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            cluster.call("POST", path + "/binding", body)

    def run(self, name: str) -> None:
        """Its container runs."""
        self._status(name, {"phase": "Running", "containerStatuses": [container({"running": {}})]})

    def end(self, name: str, code: int, message: str = "", reason: str = "") -> None:
        """Its container has ended."""
        ended = {
            "exitCode": code,
            "message": message,
            "reason": reason or ("Error" if code else "Completed"),
            "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        phase = "Failed" if code else "Succeeded"
        self._status(name, {"phase": phase, "containerStatuses": [container({"terminated": ended})]})

    def _status(self, name: str, status: dict[str, Any]) -> None:
        path = self.namespace.core("pods", name) + "/status"
        self.namespace.cluster.merge(path, {"status": status})


def container(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "trainer",
        "image": "x",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
