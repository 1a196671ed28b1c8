"""Plays scheduler and kubelet on a control plane that has no nodes: binds, starts, ends and removes pods."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from harness.cluster import Namespace, Refused

NODE = "imaginary"


class FakeKubelet:
    """Binds every pod of a namespace and takes away the ones that are being deleted after ``linger`` s."""

    def __init__(self, namespace: Namespace, linger: float = 0.3) -> None:
        self.namespace = namespace
        self.linger = linger
        self._stop = threading.Event()
        self._going: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeKubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

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
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
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
