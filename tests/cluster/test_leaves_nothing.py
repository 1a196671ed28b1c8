"""A two-node cluster with running pods and dead parts, taken down: nothing may stay on the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from harness.residue import added_since, residue

from barecluster.node_config import PAUSE_IMAGE
from barecluster.settings import REPOSITORY, Settings, settings_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
NAME = "leaves-nothing"


def cluster(*words: str) -> None:
    argv = [str(REPOSITORY / "hack" / "cluster"), "--name", NAME, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def settings() -> Iterator[Settings]:
    found = settings_for(NAME)
    if any(path.parents[1].name != NAME for path in found.state.parent.glob("*/run/kubelet-*.json")):
        pytest.skip("another cluster's nodes run: a machine has room for one")
    cluster("down", "--purge")
    yield found
    cluster("down", "--purge")


def kubectl(settings: Settings, *words: str, stdin: str | None = None) -> None:
    argv = [str(settings.bin / "kubectl"), f"--kubeconfig={settings.kubeconfig}", *words]
    subprocess.run(argv, input=stdin, text=True, check=True, timeout=120, capture_output=True)


def pod(node: str) -> dict[str, object]:
    mount = {"name": "output", "mountPath": "/output"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"on-{node}"},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": PAUSE_IMAGE, "volumeMounts": [mount]}],
            "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": "checkpoints"}}],
        },
    }


def end(settings: Settings, name: str) -> None:
    os.kill(json.loads((settings.run / f"{name}.json").read_text())["pid"], signal.SIGKILL)


def test_down_after_a_crash_leaves_nothing_and_keeps_the_images(settings: Settings) -> None:
    before = residue()
    cluster("up")
    pods = {"apiVersion": "v1", "kind": "List", "items": [pod("node1"), pod("node2")]}
    kubectl(settings, "apply", "-f", "-", stdin=json.dumps(pods))
    kubectl(settings, "wait", "--for=condition=Ready", "pod/on-node1", "pod/on-node2", "--timeout=60s")
    (settings.volume / "result").write_text("kept")
    for name in ("kubelet-node1", "containerd-node2"):
        end(settings, name)
    cluster("down")
    assert added_since(before) == {}
    assert (settings.volume / "result").read_text() == "kept"
    assert any((settings.node(1).home / "root").rglob("blobs/sha256/*")), "images stay for the next up"
    cluster("up")
    cluster("down", "--purge")
    assert added_since(before) == {}
    assert not settings.state.exists()
