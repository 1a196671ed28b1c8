"""Jobs that export the checkpoint with the lowest held-out loss."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.objectstore import Server, server
from harness.trainer.launches import Launch
from safetensors.numpy import load_file

from llmtrain_api import JobFile
from llmtrain_trainer.checkpoint.manifest import manifest_of
from llmtrain_trainer.data.sources import is_held_out

STEPS, EVERY = 60, 5


def asked(work: Path, attempt: int = 0, place: dict[str, Any] | None = None, **training: Any) -> JobFile:
    """One that is trained on texts whose words the held-out texts have not, so that it expects those less
    with each step: the held-out loss rises, far above where it began."""
    texts, generator = work / "texts", random.Random(1)
    texts.mkdir(parents=True, exist_ok=True)
    for letters, held_out in (("abcdefgh", False), ("stuvwxyz", True)):
        for number in range(2):
            text = ""
            while not text or is_held_out(text, 0.5) is not held_out:
                text = " ".join("".join(generator.choices(letters, k=3)) for _ in range(500))
            (texts / f"{letters}-{number}.txt").write_text(text)
    return job(
        work / "output",
        attempt=attempt,
        dataset={"name": f"file://{texts}", "heldOutFraction": 0.5},
        training={"maxSteps": STEPS, "learningRate": 1e-2, "warmupSteps": 2, **training},
        evaluation={"everySteps": EVERY},
        checkpoint={"everySteps": 4, "keep": 1, "keepBest": True},
        **(place or {}),
    )


def losses(launch: Launch) -> dict[int, float]:
    """The held-out loss of each step that was evaluated, as rank 0 told it."""
    files = sorted((launch.output.root / "logs").glob("attempt-*/evaluations.jsonl"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return {one["step"]: one["held_out_loss"] for one in map(json.loads, lines)}


def require_best_exported(launch: Launch) -> int:
    """The export is the best step's weights, and all that is told is about it."""
    found, results = losses(launch), launch.message()["results"]
    best = min(found, key=lambda step: (found[step], step))
    assert best < results["steps"] == STEPS, f"the loss never rose, so nothing is shown: {found}"
    assert launch.output.committed() == [STEPS, best], "the newest, and the best beside it"
    manifest = manifest_of(launch.output.step(best))
    assert manifest.best
    assert results["exportedStep"] == results["bestStep"] == best
    assert results["evalLoss"] == pytest.approx(found[best], abs=1e-6)
    assert results["trainLoss"] == pytest.approx(manifest.metrics.train_loss, abs=1e-6)
    exported = load_file(launch.output.export / "model.safetensors")
    kept, last = (weights(launch.output.step(step)) for step in (best, STEPS))
    assert exported.keys() == kept.keys()
    assert all((exported[name] == kept[name]).all() for name in kept)
    assert any((exported[name] != last[name]).any() for name in last)
    assert f"| exported step | {best}, the best" in (launch.output.export / "README.md").read_text()
    return best


def weights(step: Path) -> dict[str, Any]:
    files = sorted((step / "weights").glob("*.safetensors"))
    return {name: value for file in files for name, value in load_file(file).items()}


def apart(launch: Launch) -> int:
    """Steps from the oldest checkpoint that is kept to the newest."""
    steps = launch.output.committed() or [0]
    return steps[0] - steps[-1]


@pytest.mark.parametrize("zero", [1, 3])
def test_the_best_step_is_kept_and_exported(work: Path, zero: int) -> None:
    launch = Launch(work, asked(work, zeroStage=zero))
    try:
        assert launch.wait() == 0, launch.text()
        require_best_exported(launch)
    finally:
        launch.end()


def test_a_kill_does_not_make_a_job_forget_its_best(work: Path) -> None:
    first = Launch(work, asked(work))
    try:
        first.until(lambda: apart(first) >= 3 * EVERY, "a best step that is older than the newest")
    finally:
        first.end()
    second = Launch(work, asked(work, attempt=1))
    try:
        assert second.wait() == 0, second.text()
        best = require_best_exported(second)
        assert best < second.message()["resumedStep"], "it was not this attempt's own"
    finally:
        second.end()


def test_out_of_an_object_store_the_best_step_is_exported_too(work: Path) -> None:
    place = {"nodes": 2, "processesPerNode": 1, "output": {"uri": f"s3://{Server.bucket}/best"}}
    one = asked(work, place=place, zeroStage=1)
    with server() as running:
        nodes = []
        for node in range(2):
            private = work / f"node{node}"
            told = one.model_copy(update={"output": str(private / "output")})
            nodes.append(Launch(private, told, node=node, more=running.environment))
        try:
            assert [launch.wait() for launch in nodes] == [0, 0], nodes[0].text()
        finally:
            for launch in nodes:
                launch.end()
        running.files.get(f"{Server.bucket}/best", str(work / "stored"), recursive=True)
    results = nodes[0].message()["results"]
    best = results["exportedStep"]
    assert best == results["bestStep"] < STEPS
    [kept] = (work / "stored" / "checkpoints").glob(f"step-{best}.*")
    exported = load_file(work / "stored" / "export" / "model.safetensors")
    assert all((exported[name] == value).all() for name, value in weights(kept).items())
    assert exported.keys() == weights(kept).keys()
