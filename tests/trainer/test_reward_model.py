"""A job whose answers a reward model gives numbers, from two folders of a claim to what it has learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.prompts import prompts, write
from harness.trainer.laptop import LaptopRun
from harness.trainer.reward_models import write_both, write_reward_model

pytestmark = pytest.mark.timeout(600)


def run_of(work: Path, **training: Any) -> LaptopRun:
    if not (work / "models").exists():
        write_both(work / "models")
    write(work / "data" / "questions", prompts(64))
    rewards = [
        {"kind": "model", "model": "pvc://models/reward", "name": "liked", "weight": 2},
        {"kind": "length", "maxCharacters": 40, "weight": 0.1},
    ]
    spec = {
        "model": {"name": "pvc://models/policy"},
        "task": "reinforcement",
        "dataset": {"name": "pvc://data/questions", "heldOutFraction": 0.2},
        "training": {
            "learningRate": 1e-2,
            "schedule": "constant",
            "warmupSteps": 1,
            "sequenceLength": 64,
            "globalBatchSize": 4,
            "microBatchSize": 4,
            "reinforcement": {"rewards": rewards, "groupSize": 8, "maxNewTokens": 4},
        }
        | training,
        "evaluation": {"everySteps": 0, "maxSequences": 32},
        "output": {"uri": "pvc://checkpoints/tiny"},
    }
    run = LaptopRun(work, seconds=400)
    run.ask(spec)
    run.to_the_end()
    return run


def test_what_a_reward_model_likes_is_learnt(tmp_path: Path) -> None:
    ran = run_of(tmp_path, maxSteps=30)
    assert ran.codes == [0], ran.text()
    lines = map(json.loads, (ran.output.logs(0) / "metrics.jsonl").read_text().splitlines())
    told = [line["reinforcement"] for line in lines if "reinforcement" in line]
    liked = [one["reward_liked"] for one in told]
    assert np.mean(liked[-5:]) > np.mean(liked[:5]) + told[0]["deviation"] / 2
    results = json.loads(ran.output.results.read_text())["reinforcement"]
    given = {rule["name"]: rule["mean"] for rule in results["rewards"]}
    assert results["reward"] == pytest.approx(given["liked"] + given["length"])
    assert given["liked"] > np.mean(liked[:5])


def test_one_that_reads_other_words_ends_the_job_with_its_name(tmp_path: Path) -> None:
    write_both(tmp_path / "models")
    write_reward_model(tmp_path / "models" / "reward", "{{ messages }}")
    ran = run_of(tmp_path, maxSteps=1)
    assert ran.codes != [0]
    assert "rewards: model pvc://models/reward: its tokenizer or its chat template is not that" in ran.text()
