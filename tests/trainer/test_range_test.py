"""`llmtrain check --lr-range`: real ranks train while the rate rises, and nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.builders import QUICK
from harness.children import environment, processes
from harness.models.tiny import folder_of_llama

pytestmark = pytest.mark.timeout(600)


def lr_range(folder: Path, *words: str, **sections: Any) -> subprocess.CompletedProcess[str]:
    head = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingJob", "metadata": {"name": "tiny"}}
    training = {"epochs": 1, "globalBatchSize": 8, "microBatchSize": 4, "sequenceLength": 32}
    (folder / "job.yaml").write_text(json.dumps(head | {"spec": QUICK | {"training": training} | sections}))
    private = folder / "tmp"
    private.mkdir()
    command = [sys.executable, "-m", "llmtrain", "check", "job.yaml", "--lr-range", "-o", "json", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"TMPDIR": str(private)},
        capture_output=True,
        text=True,
        check=False,
    )


def untouched(folder: Path) -> None:
    """All that is there are what the test itself has written."""
    assert set(os.listdir(folder)) <= {"job.yaml", "tmp", "model"}
    assert os.listdir(folder / "tmp") == []
    assert processes(str(folder)) == []


def test_the_rate_rises_until_the_loss_leaps_and_nothing_stays(tmp_path: Path) -> None:
    done = lr_range(tmp_path, "--steps", "40", "--lowest", "1e-4", "--highest", "10", processesPerNode=1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    points = found["points"]
    rates = [point["learningRate"] for point in points]
    factor = (10 / 1e-4) ** (1 / 39)
    assert rates == pytest.approx([1e-4 * factor**step for step in range(len(rates))], rel=1e-6)
    assert "diverged" in found, "a rate of 10 breaks any model"
    assert len(points) < 40, "it ends where the loss leaps"
    assert 1e-4 <= found["suggested"] < found["diverged"]
    untouched(tmp_path)


@pytest.mark.proof
def test_adapters_beside_a_model_that_exists(tmp_path: Path) -> None:
    folder_of_llama(tmp_path / "model")
    model = {"name": f"file://{tmp_path / 'model'}", "adapter": {"rank": 4, "alpha": 8}}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")}
    done = lr_range(tmp_path, "--steps", "60", "--lowest", "1e-5", "--highest", "10", model=model)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert len(found["points"]) >= 10
    assert all("smoothed" in point for point in found["points"][:10])
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")}
    untouched(tmp_path)
