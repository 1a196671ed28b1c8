"""The command line against a real API server, with the operator as a process and a kubelet that is played."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import ROOT, Namespace, wait_for
from harness.jobs import manifest
from harness.kubelet import FakeKubelet
from harness.terminal import Terminals
from integration.conftest import Operator
from integration.test_lifecycle import BOOM, bring_up, finish


class Terminal:
    """Types commands as a person does, in the namespace of the test."""

    def __init__(self, namespace: Namespace, terminals: Terminals) -> None:
        self.namespace, self.terminals = namespace, terminals

    def types(self, *words: str, code: int = 0, **variables: str) -> str:
        """What a verb prints at a terminal of its own, both outputs together."""
        return self.terminals.types(*words, "-n", self.namespace.name, code=code, **variables)

    def data(self, *words: str) -> dict[str, Any]:
        """What a verb prints for programs."""
        found: dict[str, Any] = json.loads(self.types(*words, "-o", "json"))
        return found


@pytest.fixture
def terminal(namespace: Namespace, tmp_path: Path) -> Iterator[Terminal]:
    document = manifest()
    document["metadata"].pop("namespace")
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    terminals = Terminals(tmp_path, {"KUBECONFIG": namespace.cluster.environment["KUBECONFIG"]})
    yield Terminal(namespace, terminals)
    terminals.close()


def test_a_job_from_submit_to_delete(
    terminal: Terminal, namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    tried = terminal.types("submit", "job.yaml", "--dry-run")
    assert "would be taken in" in tried
    assert "gang: 2 pods, each with cpu " in tried
    assert "it would wait: spec.output.uri: the namespace has no claim checkpoints" in tried
    refused = terminal.types("submit", "job.yaml", "--dry-run", "--set", "output.uri=file:///tmp/x", code=2)
    assert "a folder that is gone with its pod" in refused
    assert "no jobs in namespace" in terminal.types("ls")
    told = terminal.types("submit", "job.yaml", "--set", "training.maxSteps=30")
    assert f"job {namespace.name}/tiny is created" in told
    assert namespace.job("tiny")["spec"]["training"]["maxSteps"] == 30
    assert "already exists" in terminal.types("submit", "job.yaml", code=2)
    bring_up(namespace, kubelet)

    rows = terminal.types("ls", "-o", "wide").splitlines()
    assert "WAITING" in rows[0]
    assert "\x1b[32mtiny   Running" in rows[1], "green, at a terminal"
    shown = terminal.types("show", "tiny")
    assert "2/2" in shown
    assert "Accepted: attempt 0 begins" in shown, "its events"
    assert "Tiny runs" in terminal.types("why", "tiny")
    assert terminal.data("show", "tiny")["kind"] == "LLMTrainingJob"

    assert "llmtrain resume tiny" in terminal.types("stop", "tiny")
    wait_for("every rank is told to go", lambda: going(namespace) or None)
    namespace.wait_phase("tiny", "Suspended")
    assert "stands still" in terminal.types("why", "tiny")
    assert "only a job that is over" in terminal.types("retry", "tiny", code=2)
    assert "goes on" in terminal.types("resume", "tiny")
    bring_up(namespace, kubelet, 1)
    finish(namespace, kubelet, 1)
    assert "has succeeded" in terminal.types("why", "tiny")
    assert "perplexity 13.50" in terminal.types("show", "tiny")

    assert f"job {namespace.name}/other is created" in terminal.types(
        "clone", "tiny", "other", "--set", "suspend=true"
    )
    assert namespace.job("other")["spec"]["output"]["uri"] == "pvc://checkpoints/other"
    assert "perplexity" in terminal.types("diff", "tiny", "other")
    assert "its output stays in pvc://checkpoints/tiny" in terminal.types("delete", "tiny")
    gone = terminal.types("show", "tiny", code=3)
    assert "no job tiny in namespace" in gone
    assert "Traceback" not in gone
    assert operator.process is not None


def going(namespace: Namespace) -> bool:
    """Whether the gang of the first attempt is gone or about to go."""
    return all("deletionTimestamp" in pod["metadata"] for pod in namespace.pods().values())


def test_a_failure_is_told_with_its_rank_and_tried_again(
    terminal: Terminal, namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    namespace.apply(manifest(recovery={"maxRestarts": 0}))
    bring_up(namespace, kubelet)
    kubelet.end("tiny-0-1", 1, BOOM)
    namespace.wait_phase("tiny", "Failed", 0)
    found = terminal.data("why", "tiny")
    assert found["state"] == "Failed"
    assert "UserError: boom" in found["paragraph"]
    assert any("rank 1" in line for line in found["evidence"])
    assert "is tried again from step 10" in terminal.types("retry", "tiny")
    bring_up(namespace, kubelet, 1)
    finish(namespace, kubelet, 1)
    assert "tried again" in terminal.types("show", "tiny")
    assert operator.process is not None


def test_kubectl_finds_it(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "kubectl-llmtrain").symlink_to(ROOT / "hack" / "llmtrain")
    env = namespace.cluster.environment
    done = subprocess.run(
        ["kubectl", "llmtrain", "ls", "-n", namespace.name],
        env=env | {"PATH": f"{tmp_path}{os.pathsep}{env['PATH']}"},
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert "llmtrain submit" in done.stdout


def test_a_mistake_is_told_by_field_and_a_stranger_is_told_what_is_missing(
    terminal: Terminal, namespace: Namespace, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(json.dumps(manifest(namespace=namespace.name, nodez=1)))
    wrong = terminal.types("submit", "wrong.yaml", code=2)
    assert "spec.nodez" in wrong
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "stranger"}}
    namespace.cluster.call("POST", namespace.core("serviceaccounts"), account)
    token = namespace.cluster.call(
        "POST", namespace.core("serviceaccounts", "stranger") + "/token", {"spec": {"expirationSeconds": 600}}
    )["status"]["token"]
    viewed = namespace.cluster.kubectl("config", "view", "--raw", "-o", "json").stdout
    known = json.loads(viewed)
    known["users"] = [{"name": "stranger", "user": {"token": token}}]
    known["contexts"][0]["context"]["user"] = "stranger"
    config = tmp_path / "stranger"
    config.write_text(json.dumps(known))
    refused = terminal.types("ls", code=5, KUBECONFIG=str(config))
    assert "the cluster does not allow it" in refused
    assert token not in refused
