"""A job on prompts, from rows to a model that writes what rules reward, through the launcher."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.prompts import LETTERS, asked
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch
from trainer.conftest import Operator

from llmtrain_trainer.storage.start_marker import read_start

RULES = [LETTERS | {"weight": 2}, {"kind": "exact"}, {"kind": "length", "maxCharacters": 3, "weight": -0.5}]
HOW: dict[str, Any] = {"rewards": RULES, "groupSize": 4, "maxNewTokens": 4, "beta": 0.1, "iterations": 2}
LEARN: dict[str, Any] = {"rewards": [LETTERS], "groupSize": 16, "maxNewTokens": 2, "beta": 0.005}
STEPS: dict[str, Any] = {"maxSteps": 30}


def launched(work: Path, how: dict[str, Any], **more: Any) -> Launch:
    launch = Launch(work, asked(work, how, **more))
    assert launch.wait() == 0, launch.text()
    return launch


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, operator: Operator) -> Launch:
    work = tmp_path_factory.mktemp("reinforcement")
    launch = Launch(work, asked(work, HOW), report={"url": f"http://127.0.0.1:{operator.server.server_port}"})
    assert launch.wait() == 0, launch.text()
    return launch


def results(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())
    return found


def steps(launch: Launch, attempt: int = 0) -> list[dict[str, Any]]:
    lines = (launch.output.logs(attempt) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def weights(launch: Launch) -> str:
    return hashlib.sha256((launch.output.export / "model.safetensors").read_bytes()).hexdigest()


def test_results_have_what_answers_to_held_out_prompts_get(one: Launch) -> None:
    found = results(one)
    told = found["reinforcement"]
    assert told["prompts"] == 8  # 32 sequences in groups of 4
    assert [rule["name"] for rule in told["rewards"]] == ["letters", "exact", "length"]
    assert told["reward"] == pytest.approx(sum(rule["mean"] for rule in told["rewards"]))
    assert found["evalLoss"] == pytest.approx(-told["reward"])
    assert told["kl"] > 0
    assert 0 < told["answerTokens"] <= 4
    assert 0 <= told["ended"] <= 1
    assert 0 <= told["withoutSignal"] <= 1
    assert not {"perplexity", "preference", "unigramEntropy"} & set(found)
    assert found["data"]["samples"][0].startswith("⟪<|im_start|>user")


def test_each_step_tells_what_its_answers_got(one: Launch, operator: Operator) -> None:
    rows = [row["reinforcement"] for row in steps(one)]
    assert len(rows) == 3
    assert rows[0]["kl"] < 1e-6 < rows[-1]["kl"]  # the first answers are the start model's
    for row in steps(one):
        told = row["reinforcement"]
        assert told["reward"] == pytest.approx(
            sum(told[f"reward_{name}"] for name in ("letters", "exact", "length"))
        )
        assert row["tokens"] == round(told["answer_tokens"] * 16)
    posted = [report["reinforcement"] for report in operator.reports if report.get("reinforcement")]
    assert posted
    assert posted[-1]["reward"] == pytest.approx(rows[-1]["reward"])


def test_the_card_says_what_was_learnt_and_its_program_runs(one: Launch) -> None:
    text = (one.output.export / "README.md").read_text()
    assert "learnt to write answers that are rewarded" in text
    assert "Reward letters" in text
    assert "training.reinforcement.rewards[0].pattern" in text
    assert run_snippet(one.output.export) is not None


def test_the_answers_of_a_step_are_the_same_on_two_ranks_and_in_other_passes(
    one: Launch, tmp_path: Path
) -> None:
    two = launched(tmp_path, HOW, ranks=2, maxSteps=1, microBatchSize=1, zeroStage=2)
    first, second = (steps(launch)[0] for launch in (one, two))
    kl = [step["reinforcement"].pop("kl") for step in (first, second)]
    assert kl[0] == pytest.approx(kl[1], abs=1e-9)
    assert second["reinforcement"] == first["reinforcement"]
    assert second["tokens"] == first["tokens"]
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-4, abs=1e-6)
    assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-4)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return launched(tmp_path_factory.mktemp("learnt"), LEARN, **STEPS)


@pytest.mark.proof
def test_a_format_that_is_rewarded_is_learnt(learnt: Launch) -> None:
    found = [row["reinforcement"]["reward"] for row in steps(learnt)]
    assert np.mean(found[:3]) < 0.2
    assert np.mean(found[-3:]) > 0.8
    assert results(learnt)["reinforcement"]["reward"] > 0.8


@pytest.mark.proof
@pytest.mark.parametrize("zero", [1, 2])
def test_an_adapter_leaves_its_base_on_two_ranks(zero: int, tmp_path: Path) -> None:
    adapter = {"rank": 8, "alpha": 16}
    found = launched(tmp_path, LEARN, ranks=2, adapter=adapter, zeroStage=zero, maxSteps=6)
    told = [row["reinforcement"] for row in steps(found)]
    assert told[0]["kl"] < 1e-6
    assert told[-1]["kl"] > 1e-4
    assert results(found)["reinforcement"]["kl"] > 1e-4


@pytest.mark.proof
def test_half_precision_with_activations_computed_again_learns_too(tmp_path: Path) -> None:
    training = {"precision": "bf16", "activationCheckpointing": True, "maxSteps": 25}
    found = launched(tmp_path, LEARN, ranks=2, **training)
    told = [row["reinforcement"]["reward"] for row in steps(found)]
    assert np.mean(told[-3:]) > 0.2 + np.mean(told[:3])


@pytest.mark.proof
def test_a_job_that_was_killed_goes_on_to_the_same_bits(learnt: Launch, tmp_path: Path) -> None:
    first = Launch(tmp_path, asked(tmp_path, LEARN, **STEPS))
    try:
        first.until(lambda: first.output.step(10).exists(), "step 10")
        os.kill(first.descendants()[0], signal.SIGKILL)
        assert first.process.wait(60) != 0
    finally:
        first.end()
    assert not first.output.export.exists()
    again = launched(tmp_path, LEARN, attempt=1, **STEPS)
    start = read_start(again.job)
    assert start is not None
    assert start.done >= 10
    whole = {row["step"]: row["reinforcement"] for row in steps(learnt)}
    assert {row["step"]: row["reinforcement"] for row in steps(again, 1)} == {
        step: told for step, told in whole.items() if step > start.done
    }
    assert weights(again) == weights(learnt)
