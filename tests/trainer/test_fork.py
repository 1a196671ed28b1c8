"""A job that goes on from a step of another job: the same losses, and the other output stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.trainer.launches import Launch

from llmtrain_api import JobFile, OriginFolder, changed
from llmtrain_trainer.checkpoint.manifest import manifest_of
from llmtrain_trainer.files import sha256
from llmtrain_trainer.output import Output

BASE, STEPS, AT = "bbbbbbbb-0000", 20, 10
CHECKPOINTS = {"everySteps": 5, "keep": 1000}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    work = tmp_path_factory.mktemp("base")
    asked = job(work / "base", uid=BASE, name="base", training={"maxSteps": STEPS}, checkpoint=CHECKPOINTS)
    launch = Launch(work, asked)
    try:
        assert launch.wait() == 0, launch.text()
        yield launch
    finally:
        launch.end()


def fork(base: Launch, output: Path, step: int | None = AT, **spec: Any) -> JobFile:
    source = {"job": "base"} | ({"step": step} if step else {})
    sections: dict[str, Any] = {
        "training": {"maxSteps": STEPS} | spec.pop("training", {}),
        "checkpoint": CHECKPOINTS | {"from": source} | spec.pop("checkpoint", {}),
    }
    asked = job(output, name="fork", output={"uri": "pvc://claim/fork"}, **sections, **spec)
    origin = OriginFolder(
        job="base", uid=BASE, uri="pvc://claim/base", step=step, folder=str(base.output.root)
    )
    return changed(asked, origin=origin)


def ended(work: Path, asked: JobFile) -> Launch:
    launch = Launch(work, asked)
    launch.wait()
    return launch


def losses(output: Output) -> dict[int, float]:
    lines = (output.logs(0) / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines) if "loss" in row}


def state_of(root: Path) -> dict[str, tuple[int, str]]:
    """Time of the last change and digest of every file."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, sha256(path))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_fork_trains_on_bit_for_bit_and_leaves_the_other_output_alone(base: Launch, work: Path) -> None:
    before = state_of(base.output.root)
    launch = ended(work, fork(base, work / "fork"))
    assert launch.process.returncode == 0, launch.text()
    mine, theirs = losses(launch.output), losses(base.output)
    assert min(mine) == AT + 1, "training begins after the step"
    assert mine == {step: loss for step, loss in theirs.items() if step > AT}
    assert state_of(base.output.root) == before
    assert launch.message()["resumedStep"] == AT
    results = json.loads(launch.output.results.read_text())
    assert results["origin"] == {"job": "base", "uid": BASE, "uri": "pvc://claim/base", "step": AT}
    assert "| began with | `step 10 of job base" in (launch.output.export / "README.md").read_text()
    last = [manifest_of(output.step(STEPS)) for output in (launch.output, base.output)]
    states = [
        {name: entry.sha256 for name, entry in one.files.items() if name.endswith("states.pt")}
        for one in last
    ]
    assert states[0] == states[1], "weights, moments and counters too"


def test_a_fork_may_have_another_learning_rate_or_only_the_weights(base: Launch, work: Path) -> None:
    other = ended(work / "a", fork(base, work / "a" / "fork", training={"learningRate": 1e-2}))
    assert other.process.returncode == 0, other.text()
    rows = [json.loads(line) for line in (other.output.logs(0) / "metrics.jsonl").read_text().splitlines()]
    theirs = losses(base.output)
    assert losses(other.output)[AT + 1] == theirs[AT + 1], "the first loss is that of the same weights"
    assert losses(other.output)[STEPS] != theirs[STEPS]
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    assert max(rates) > 1e-3, "the new rate holds, not that of the checkpoint"
    weights = ended(work / "b", fork(base, work / "b" / "fork", checkpoint={"resumeFrom": "weights"}))
    assert weights.process.returncode == 0, weights.text()
    assert losses(weights.output)[AT + 1] == theirs[AT + 1]
    assert losses(weights.output)[STEPS] != theirs[STEPS], "the moments began anew"
    assert "weights only, the optimizer starts anew" in weights.text()


def test_what_is_of_other_data_is_refused_before_data_are_prepared(base: Launch, work: Path) -> None:
    launch = ended(work, fork(base, work / "fork", training={"sequenceLength": 64}))
    message = launch.message()
    assert launch.process.returncode == 78
    assert "training.sequenceLength: 32 in the checkpoint, 64 in this job" in message["message"]
    assert "training.learningRate" in message["hint"]
    assert "model.name" in message["hint"]
    assert not launch.output.data.exists()
