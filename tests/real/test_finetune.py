"""The real thing: SmolLM2-135M-Instruct learns from dialogues that people wrote, and answers.

Skipped, and counted, until `make models` has put model and dialogues into the cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.children import environment
from harness.cluster import restarts
from harness.dialogues import Dialogues
from harness.finetune import EVERY, LEARNT, NAME, STEPS, lay_out, manifest
from harness.models.answers import answer_loss
from harness.models.real import SMOLLM2
from harness.trainer.laptop import LaptopRun, resumed

SECONDS = 500.0
pytestmark = pytest.mark.timeout(900)


@dataclass
class Trained:
    """The run that lost a rank, and the dialogues that it never saw."""

    run: LaptopRun
    dialogues: Dialogues


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("real")
    dialogues = lay_out(folder / "models", folder / "data")
    run = LaptopRun(folder, NAME, SECONDS)
    run.write(manifest("pvc://models", "pvc://data"))
    try:
        run.start()
        run.until(run.output.committed, "a first checkpoint")
        run.kill_rank(f"{NAME}-0-1")
        run.end()
        yield Trained(run, dialogues)
    finally:
        run.close()


def test_a_killed_rank_costs_no_step_that_was_saved(trained: Trained) -> None:
    text = trained.run.text()
    assert trained.run.codes == [0], text
    assert "rank 1 was killed by signal 9" in text
    assert resumed(text, 1) >= EVERY
    status = trained.run.object()["status"]
    assert restarts(status) == (1, 1, 0)
    assert status["results"]["steps"] == STEPS
    assert status["resolved"]["model"]["shape"]["parameters"] == 134_515_008


def test_dialogues_that_were_held_out_are_likelier(trained: Trained) -> None:
    """By the merged export in plain transformers, on the answers of dialogues that no file of the job had."""
    base = answer_loss(SMOLLM2.folder, trained.dialogues.held_out)
    after = answer_loss(trained.run.output.export, trained.dialogues.held_out)
    print(f"loss of held-out answers: {base:.3f} nat before, {after:.3f} after")
    assert after <= base - LEARNT


def test_it_answers_in_a_dialogue(trained: Trained) -> None:
    """Through a pipe; what it says begins with letters and comes to an end by itself."""
    command = [sys.executable, "-m", "llmtrain", "chat", str(trained.run.output.root)]
    done = subprocess.run(
        [*command, "--temperature", "0", "--tokens", "120"],
        input="What is the capital of France?\n",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert len(done.stdout.split()) < 60


def test_the_base_is_as_it_was_and_nothing_holds_a_copy(trained: Trained) -> None:
    """The adapter names its base; a checkpoint has the adapters alone."""
    output, base = trained.run.output, SMOLLM2.folder / "model.safetensors"
    assert (trained.run.folder / "models/smollm2/model.safetensors").read_bytes() == base.read_bytes()
    told = json.loads((output.export / "adapter/adapter_config.json").read_text())
    assert (told["r"], told["base_model_name_or_path"]) == (16, "pvc://models/smollm2")
    newest = output.step(output.committed()[0])
    held = sum(path.stat().st_size for path in Path(newest).rglob("*") if path.is_file())
    assert held < base.stat().st_size / 2
