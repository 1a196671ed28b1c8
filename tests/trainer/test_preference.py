"""A job on pairs of answers from rows to a model that prefers the better ones, through the launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.pairs import FEW_STEPS, pairs, write
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api import JobFile
from llmtrain_trainer.data.loader import open_held_out
from llmtrain_trainer.data.reference import FILE, RECORD
from llmtrain_trainer.storage.start_marker import read_start

COUNT, EQUAL = 40, 2


def rows() -> list[dict[str, Any]]:
    same = {"prompt": "say nothing", "chosen": "fine", "rejected": "fine"}
    return [*pairs(COUNT), *[same] * EQUAL]


def asked(work: Path, loss: str, *, ranks: int = 1, **changes: Any) -> JobFile:
    """A job of a few steps on pairs."""
    source = write(work / "rows", rows())
    training = {**FEW_STEPS, "preference": {"loss": loss}}
    return job(
        work / "output",
        task="preference",
        model={"hiddenSize": 32, "numLayers": 2, "vocabSize": 320},
        dataset={"name": f"file://{source}", "heldOutFraction": 0.2},
        training=training | changes.pop("training", {}),
        processesPerNode=ranks,
        **changes,
    )


def launched(work: Path, loss: str, **more: Any) -> Launch:
    launch = Launch(work, asked(work, loss, **more))
    assert launch.wait() == 0, launch.text()
    return launch


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return launched(tmp_path_factory.mktemp("dpo"), "dpo")


def results(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())
    return found


def reference(launch: Launch) -> bytes:
    return (launch.output.data / FILE).read_bytes()


def test_the_better_answers_get_the_higher_reward(one: Launch) -> None:
    found = results(one)
    held_out = len(open_held_out(one.output.data))
    assert found["preference"]["pairs"] == held_out > 2
    assert found["preference"]["rewardAccuracy"] == 1.0
    assert found["preference"]["rewardMargin"] > 0.5
    assert found["evalLoss"] < 0.6 < np.log(2)
    assert "perplexity" not in found
    report = json.loads((one.output.data / "report.json").read_text())
    assert report["read"]["dialogues"] == {"equalAnswers": EQUAL, "promptsExplicit": COUNT + EQUAL}
    assert sum(report["documents"].values()) == COUNT


def test_the_reference_is_the_same_from_two_ranks_with_sharded_weights(one: Launch, tmp_path: Path) -> None:
    two = launched(tmp_path, "dpo", ranks=2, training={"zeroStage": 3})
    assert reference(two) == reference(one)
    first, second = (results(launch) for launch in (one, two))
    assert second["evalLoss"] == pytest.approx(first["evalLoss"], rel=1e-4)
    assert second["preference"] == pytest.approx(first["preference"], rel=1e-3)


@pytest.mark.proof
def test_a_job_that_goes_on_is_bit_equal_and_reads_the_reference_or_makes_it_again(
    one: Launch, tmp_path: Path
) -> None:
    checkpoint = {"everySteps": 6}
    work = tmp_path / "stopped"
    # all of its twelve steps, of which the second half is then taken away
    whole = launched(work, "dpo", checkpoint=checkpoint)
    assert results(whole)["evalLoss"] == results(one)["evalLoss"]
    assert json.loads((whole.output.data / RECORD).read_text())["pairs"] == COUNT
    said = results(whole)
    for name in ("COMPLETE", "results.json", "evaluation.json"):
        (whole.output.root / name).unlink()
    last = whole.output.step(12)
    for path in sorted(last.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    last.rmdir()
    before = reference(whole)
    (whole.output.data / FILE).unlink()
    again = Launch(work, asked(work, "dpo", attempt=1, checkpoint=checkpoint))
    assert again.wait() == 0, again.text()
    start = read_start(again.job)
    assert start is not None
    assert start.done == 6
    assert reference(again) == before
    assert results(again)["evalLoss"] == said["evalLoss"]
    assert results(again)["trainLoss"] == said["trainLoss"]


@pytest.mark.proof
def test_a_loss_without_a_reference_learns_too(tmp_path: Path) -> None:
    launch = launched(tmp_path, "orpo")
    assert results(launch)["preference"]["rewardAccuracy"] == 1.0
    assert not (launch.output.data / FILE).exists()


def test_adapters_are_compared_with_the_model_without_them(one: Launch, tmp_path: Path) -> None:
    work = tmp_path
    adapter = {"rank": 8, "alpha": 16}
    model = {"hiddenSize": 32, "numLayers": 2, "vocabSize": 320, "adapter": adapter}
    source = asked(work, "dpo")
    launch = Launch(work, job(work / "output", **_changed(source, model)))
    assert launch.wait() == 0, launch.text()
    # the adapter is nothing at first
    assert reference(launch) == reference(one)
    assert results(launch)["preference"]["rewardAccuracy"] == 1.0


def _changed(source: JobFile, model: dict[str, Any]) -> dict[str, Any]:
    spec = source.spec.to_json()
    return {
        "task": "preference",
        "model": model,
        "dataset": spec["dataset"],
        "training": spec["training"] | {"learningRate": 1e-2},
    }


def test_the_program_of_its_card_runs(one: Launch) -> None:
    assert run_snippet(one.output.export).strip()
