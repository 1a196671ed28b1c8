"""The web page as a platform team turns it on: our image, in a pod, ready once it has listed the jobs."""

from __future__ import annotations

import subprocess

import pytest
from harness.cluster import ROOT, Namespace

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(400)]
PODS = (
    "/api/v1/namespaces/llmtrain-system/pods?labelSelector=app.kubernetes.io/name=llm-training-operator-web"
)


def install(*settings: str) -> None:
    command = [str(ROOT / "hack" / "install"), "--reuse-values", *settings]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_is_ready_beside_the_operator(namespace: Namespace) -> None:
    install("--set", "web.enabled=true")
    try:
        [pod] = namespace.cluster.call("GET", PODS)["items"]
        ready = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        assert [c["status"] for c in ready] == ["True"]
    finally:
        install("--set", "web.enabled=false")
