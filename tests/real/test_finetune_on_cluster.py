"""The real thing on a cluster: the manifest of the laptop's test, its model and data on the shared claim.

Skipped, and counted, until `make models` has put model and dialogues into the cache.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
from e2e.test_faults import committed, delete, kill_process
from harness.children import environment
from harness.cluster import Namespace, restarts, shared_volume, wait_for
from harness.finetune import EVERY, LEARNT, NAME, STEPS, lay_out, manifest
from harness.models.answers import answer_loss
from harness.models.real import SMOLLM2

SECONDS = 500
CLAIM = "pvc://checkpoints"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


def test_a_chat_model_learns_from_dialogues_and_answers(namespace: Namespace) -> None:
    root = shared_volume(namespace.cluster) / namespace.name
    dialogues = lay_out(root, root)
    namespace.apply(manifest(CLAIM, CLAIM))
    output = root / NAME
    wait_for("a checkpoint", partial(committed, output), SECONDS)
    kill_process(namespace, f"{NAME}-0-1", "worker")
    status = namespace.wait_phase(NAME, "Succeeded", 1, SECONDS)
    assert restarts(status) == (1, 1, 0)
    assert status["attempts"][1]["resumedStep"] >= EVERY
    assert status["resolved"]["model"]["shape"]["parameters"] == 134_515_008
    assert status["results"]["steps"] == STEPS
    before = answer_loss(SMOLLM2.folder, dialogues.held_out)
    after = answer_loss(output / "export", dialogues.held_out)
    print(f"loss of held-out answers: {before:.3f} nat before, {after:.3f} after")
    assert after <= before - LEARNT
    talk = [sys.executable, "-m", "llmtrain", "chat", str(output), "--temperature", "0"]
    done = subprocess.run(
        talk,
        input="What is the capital of France?\n",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    delete(namespace, NAME)
