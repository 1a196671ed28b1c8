"""A bare cluster with two nodes, driven by its own command as a person drives it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from barecluster.node_config import PAUSE_IMAGE
from barecluster.settings import REPOSITORY, Settings, settings_for


class NodesCluster:
    """The instance `name`: its verbs, and kubectl on it."""

    def __init__(self, name: str) -> None:
        self.settings: Settings = settings_for(name)

    def other_runs(self) -> bool:
        """Whether the nodes of another instance run: a machine has room for one."""
        records = self.settings.state.parent.glob("*/run/kubelet-*.json")
        return any(path.parents[1].name != self.settings.name for path in records)

    def run(self, *words: str, code: int = 0) -> str:
        """What one verb printed, after it ended with this code."""
        argv = [str(REPOSITORY / "hack" / "cluster"), "--name", self.settings.name, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1700)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl printed, as the administrator."""
        argv = [str(self.settings.bin / "kubectl"), f"--kubeconfig={self.settings.kubeconfig}", *words]
        done = subprocess.run(argv, input=stdin, text=True, check=False, timeout=150, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pid(self, process: str) -> int:
        """The recorded pid of one of its processes."""
        found: int = json.loads((self.settings.run / f"{process}.json").read_text())["pid"]
        return found

    def start_pods(self, *pods: dict[str, Any]) -> None:
        """Create the pods and wait until each is Ready."""
        self.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        )
        names = [f"pod/{pod['metadata']['name']}" for pod in pods]
        self.kubectl("wait", "--for=condition=Ready", *names, "--timeout=60s")


def pod(name: str, node: str) -> dict[str, Any]:
    """A pod on this node that mounts the shared volume."""
    mount = {"name": "output", "mountPath": "/output"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": PAUSE_IMAGE, "volumeMounts": [mount]}],
            "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": "checkpoints"}}],
        },
    }
