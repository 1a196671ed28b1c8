"""The command line against a real API server, with the operator as a process and a kubelet that is played."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.cluster import ROOT, Namespace, wait_for
from harness.jobs import manifest
from harness.kubelet import FakeKubelet
from integration.conftest import Operator
from integration.test_lifecycle import BOOM, bring_up, finish

SECONDS = 60


class Terminal:
    """Types commands as a person does, in the namespace of the test."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.environment = namespace.cluster.environment | {
            "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("crds", "operator")),
            "TERM": "xterm-256color",
            "COLUMNS": "200",
        }

    def types(self, *words: str, code: int = 0) -> str:
        """What a verb prints at a terminal of its own, both outputs together."""
        main, own = pty.openpty()
        command = [sys.executable, "-m", "llmtrain", *words, "-n", self.namespace.name]
        with subprocess.Popen(
            command, env=self.environment, stdin=own, stdout=own, stderr=own, cwd=self.folder
        ) as program:
            os.close(own)
            told = read(main)
            assert program.wait(SECONDS) == code, told
        return told.replace("\r\n", "\n")

    def data(self, *words: str) -> dict[str, object]:
        """What a verb prints for programs."""
        command = [sys.executable, "-m", "llmtrain", *words, "-n", self.namespace.name, "-o", "json"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found


def read(terminal: int) -> str:
    """All that is printed until the program has ended."""
    told, deadline = b"", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if not ready:
            continue
        try:
            some = os.read(terminal, 1 << 16)
        except OSError:
            # nobody holds the other side any more
            break
        if not some:
            break
        told += some
    os.close(terminal)
    return told.decode()


@pytest.fixture
def terminal(namespace: Namespace, tmp_path: Path) -> Terminal:
    document = manifest()
    document["metadata"].pop("namespace")
    (tmp_path / "job.yaml").write_text(json.dumps(document))
    return Terminal(namespace, tmp_path)


def test_a_job_from_submit_to_delete(
    terminal: Terminal, namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    assert "would be taken in" in terminal.types("submit", "job.yaml", "--dry-run")
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
    assert "UserError: boom" in str(found["paragraph"])
    assert any("rank 1" in line for line in found["evidence"])  # type: ignore[attr-defined]
    assert "is tried again from step 10" in terminal.types("retry", "tiny")
    bring_up(namespace, kubelet, 1)
    finish(namespace, kubelet, 1)
    assert "tried again" in terminal.types("show", "tiny")
    assert operator.process is not None


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
    terminal.environment["KUBECONFIG"] = str(config)
    refused = terminal.types("ls", code=5)
    assert "the cluster does not allow it" in refused
    assert token not in refused
