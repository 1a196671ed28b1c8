"""hack/cluster itself, on a control plane of its own beside whatever else runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.residue import added_since, residue

from barecluster.settings import REPOSITORY, Settings, settings_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # a first run builds Kubernetes
NAME = "lifecycle"


def cluster(*words: str, code: int = 0) -> str:
    argv = [str(REPOSITORY / "hack" / "cluster"), "--name", NAME, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def pids(settings: Settings) -> dict[str, int]:
    return {path.stem: json.loads(path.read_text())["pid"] for path in settings.run.glob("*.json")}


@pytest.fixture
def settings() -> Iterator[Settings]:
    cluster("down", "--purge")
    yield settings_for(NAME)
    cluster("down", "--purge")


def kubectl(settings: Settings, *words: str) -> str:
    argv = [str(settings.bin / "kubectl"), f"--kubeconfig={settings.kubeconfig}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def test_up_twice_changes_nothing_and_down_leaves_nothing(settings: Settings) -> None:
    before = residue()

    def belongs(line: str) -> bool:
        return NAME in line  # other clusters of this machine may change meanwhile

    cluster("up", "--control-plane-only")
    first = pids(settings)
    assert set(first) == {"etcd", "apiserver", "controller-manager", "scheduler"}
    assert added_since(before, belongs)["processes"], "the comparison must see what runs"
    cluster("up", "--control-plane-only")
    assert pids(settings) == first
    assert "control plane only" in cluster("status")

    cluster("down")
    assert added_since(before, belongs) == {}
    assert "down" in cluster("status", code=1)
    cluster("down", "--purge")
    assert not settings.state.exists()


def test_up_repairs_what_ended_and_keeps_the_data(settings: Settings) -> None:
    cluster("up", "--control-plane-only")
    kubectl(settings, "create", "configmap", "kept")
    first = pids(settings)
    subprocess.run(["kill", "-9", str(first["etcd"]), str(first["scheduler"])], check=True)
    assert "ENDED" in cluster("status", code=1)
    cluster("up", "--control-plane-only")
    repaired = pids(settings)
    changed = {name for name in first if repaired[name] != first[name]}
    assert {"etcd", "scheduler"} <= changed
    assert "kept" in kubectl(settings, "get", "configmap", "-o", "name")


def test_tokens_carry_their_audience_and_writes_are_audited(settings: Settings) -> None:
    cluster("up", "--control-plane-only")
    token = kubectl(settings, "create", "token", "default", "--audience=reports").strip()
    assert "true" in review(settings, token, "reports")
    assert "true" not in review(settings, token, "others")
    kubectl(settings, "create", "configmap", "seen")
    kubectl(settings, "get", "configmap", "seen")
    lines = (settings.logs / "audit.log").read_text().splitlines()
    events = [json.loads(line) for line in lines if '"seen"' in line]
    assert [event["verb"] for event in events] == ["create"]


def review(settings: Settings, token: str, audience: str) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    path = Path(settings.run / "review")
    path.write_text(json.dumps(body))
    return kubectl(settings, "create", "-f", str(path), "-o", "jsonpath={.status.authenticated}")
