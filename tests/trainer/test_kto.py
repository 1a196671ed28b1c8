"""A job on answers that are desirable or not, from rows to a model that tells them, through the launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.pairs import FEW_STEPS, judged, pairs, write
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api import JobFile
from llmtrain_trainer.data.loader import open_held_out
from llmtrain_trainer.data.reference import FILE
from llmtrain_trainer.storage.start_marker import read_start

COUNT, PAIRS, EQUAL = 40, 8, 1


def rows() -> list[dict[str, Any]]:
    """Single answers, and some pairs, of which one has two equal answers."""
    same = {"prompt": "say nothing", "chosen": "fine", "rejected": "fine"}
    return [*judged(COUNT), *pairs(COUNT + PAIRS)[COUNT:], *[same] * EQUAL]


def asked(work: Path, *, ranks: int = 1, **changes: Any) -> JobFile:
    """A job of a few steps on answers."""
    source = write(work / "rows", rows())
    training = {**FEW_STEPS, "preference": {"loss": "kto", "beta": 0.2, "undesirableWeight": 1.1}}
    return job(
        work / "output",
        task="preference",
        model={"hiddenSize": 32, "numLayers": 2, "vocabSize": 320},
        dataset={"name": f"file://{source}", "heldOutFraction": 0.2},
        training=training | changes.pop("training", {}),
        processesPerNode=ranks,
        **changes,
    )


def launched(work: Path, **more: Any) -> Launch:
    launch = Launch(work, asked(work, **more))
    assert launch.wait() == 0, launch.text()
    return launch


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return launched(tmp_path_factory.mktemp("kto"))


def results(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())
    return found


def reference(launch: Launch) -> bytes:
    return (launch.output.data / FILE).read_bytes()


def report(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((launch.output.data / "report.json").read_text())
    return found


def test_desirable_answers_are_told_from_others(one: Launch) -> None:
    found = results(one)
    told, held_out = found["kto"], open_held_out(one.output.data)
    assert told["samples"] == len(held_out) > 4
    assert told["accuracy"] == 1.0 > told["majorityAccuracy"] + 0.2
    assert told["desirableReward"] > 0.5 + told["undesirableReward"]
    assert told["divergence"] >= 0
    # where nothing is learnt it is half the mean of the weights
    assert found["evalLoss"] < 0.45
    assert not {"perplexity", "preference", "unigramEntropy"} & set(found)


def test_the_report_counts_both_kinds_and_shows_answers_alone(one: Launch) -> None:
    found = report(one)
    assert found["read"]["dialogues"] == {"equalAnswers": EQUAL}
    both = [sum(found["labels"][kind].values()) for kind in ("desirable", "undesirable")]
    assert both == [COUNT // 2 + PAIRS] * 2
    assert sum(found["documents"].values()) == COUNT + 2 * PAIRS
    for sample in found["samples"]:
        assert sum("<|im_start|>assistant" in part["text"] for part in sample) == 1
        assert sum(part["trained"] for part in sample) == 1


def test_the_card_says_what_was_learnt_and_its_program_runs(one: Launch) -> None:
    text = (one.output.export / "README.md").read_text()
    assert "learnt which answers are desirable" in text
    assert "always the more frequent label: accuracy" in text
    assert "Reward of desirable answers" in text
    assert run_snippet(one.output.export).strip()


def test_two_ranks_with_sharded_weights_find_the_same(one: Launch, tmp_path: Path) -> None:
    two = launched(tmp_path, ranks=2, training={"zeroStage": 3})
    assert reference(two) == reference(one)
    first, second = (results(launch) for launch in (one, two))
    assert second["evalLoss"] == pytest.approx(first["evalLoss"], rel=1e-4)
    assert second["trainLoss"] == pytest.approx(first["trainLoss"], rel=1e-4)
    assert second["kto"] == pytest.approx(first["kto"], rel=1e-3)


def test_a_job_that_goes_on_is_bit_equal_and_makes_the_reference_again(one: Launch, tmp_path: Path) -> None:
    checkpoint = {"everySteps": 6}
    work = tmp_path / "stopped"
    # all of its twelve steps, of which the second half is then taken away
    whole = launched(work, checkpoint=checkpoint)
    said = results(whole)
    assert said["evalLoss"] == results(one)["evalLoss"]
    for name in ("COMPLETE", "results.json", "evaluation.json"):
        (whole.output.root / name).unlink()
    last = whole.output.step(12)
    for path in sorted(last.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    last.rmdir()
    before = reference(whole)
    (whole.output.data / FILE).unlink()
    again = Launch(work, asked(work, attempt=1, checkpoint=checkpoint))
    assert again.wait() == 0, again.text()
    start = read_start(again.job)
    assert start is not None
    assert start.done == 6
    assert reference(again) == before
    assert [results(again)[name] for name in ("evalLoss", "trainLoss", "kto")] == [
        said[name] for name in ("evalLoss", "trainLoss", "kto")
    ]


def test_the_reference_has_both_sequences_of_each_row(one: Launch) -> None:
    found = np.frombuffer(reference(one), "<f8").reshape(-1, 2)
    assert len(found) == COUNT + 2 * PAIRS
    assert (found < 0).all()
    assert (found[:, 0] != found[:, 1]).all()
