"""A rank that fails on a real node: its pods stay, a person looks around in one, and lets them go."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness.bad_manifests import own_program
from harness.children import PYTHONPATH
from harness.cluster import Namespace, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
WORDS = "echo rank $RANK was here > /scratch/note; exit $((3 + RANK))"


def debug(namespace: Namespace, *words: str) -> str:
    """What `llmtrain debug` of the job prints."""
    command = [sys.executable, "-m", "llmtrain", "debug", "held", "-n", namespace.name, *words]
    env = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pods_of_a_failed_rank_are_entered_and_released(namespace: Namespace) -> None:
    asked = own_program(
        name="held",
        nodes=2,
        entrypoint={"command": ["/bin/sh", "-c", WORDS], "starter": "none"},
        recovery={"holdSeconds": 3600, "maxRestarts": 0},
        output={"uri": "pvc://checkpoints/held"},
    )
    namespace.apply(asked)

    def held() -> bool:
        return bool((namespace.status("held").get("waiting") or {}).get("reason") == "HeldForDebugging")

    wait_for("the hold is on record", held, 180)
    assert namespace.status("held")["phase"] == "Running"
    assert debug(namespace, "--rank", "1", "--", "cat", "/scratch/note") == "rank 1 was here\n"
    assert debug(namespace, "--", "cat", "/scratch/note") == "rank 0 was here\n"
    assert "2 pods end" in debug(namespace, "--release")
    status = namespace.wait_phase("held", "Failed", 0, 120)
    assert status["failure"]["exitCode"] in (3, 4), status["failure"]
    assert "waiting" not in status
