"""Examples that no other test runs, by ``llmtrain run`` as they are but for a few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness.biased import write_corpus, write_pairs
from harness.corpora.texts import NoCorpus
from harness.pairs import judged, pairs, write
from harness.prompts import prompts
from harness.short_examples import GALLERY, STEPS, ShortExample, example
from harness.trainer.laptop import LaptopRun
from harness.trainer.launches import ROOT

from llmtrain_api import Task

ROWS = {"preference": pairs(40), "kto": judged(40), "reinforcement": prompts(200)}
RUN_BY_OTHERS = (*ROWS, "tiny-llama")
HERE = [one for one in GALLERY if one.name not in RUN_BY_OTHERS]
pytestmark = pytest.mark.timeout(600)


def ran(folder: Path, name: str, manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a manifest says while it runs for a few steps, and its results. The export opens as it says."""
    manifest["spec"]["training"]["maxSteps"] = STEPS
    run = LaptopRun(folder, name, seconds=400)
    run.write(manifest)
    run.to_the_end()
    assert run.codes == [0], run.text()
    run.opened()
    results = json.loads(run.output.results.read_text())
    assert results["steps"] == STEPS
    return run.text(), results


@pytest.mark.parametrize("name", ROWS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    manifest = example(name)
    source = manifest["spec"]["dataset"]["name"].removeprefix("pvc://")
    write(tmp_path / source, ROWS[name])
    text, results = ran(tmp_path, name, manifest)
    figure = {"preference": "rewardAccuracy", "kto": "accuracy", "reinforcement": "withoutSignal"}[name]
    assert 0 <= results[name][figure] <= 1
    told = {"preference": "held-out pairs", "kto": "held-out answers", "reinforcement": "held-out prompts"}
    assert told[name] in text


@pytest.mark.parametrize("one", HERE, ids=lambda one: one.name)
def test_an_example_of_a_task_runs(one: ShortExample, tmp_path: Path) -> None:
    manifest = one.manifest
    try:
        one.put_data(tmp_path)
    except NoCorpus as missing:
        pytest.skip(str(missing))
    text, results = ran(tmp_path, manifest["metadata"]["name"], manifest)
    assert results["evalLoss"] > 0
    assert Task(manifest["spec"].get("task", Task.CAUSAL)).auto_class in text


def test_the_example_of_pairs_that_are_held_alike_runs(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data" / "texts", 400)
    write_pairs(tmp_path / "data" / "training-pairs.jsonl", seed=2)
    shutil.copy(ROOT / "examples" / "fairness-pairs.jsonl", tmp_path / "data")
    _, results = ran(tmp_path, "alike", example("fairness-training"))
    assert results["fairnessPenalty"] > 0
    assert {one["category"] for one in results["fairness"]["categories"]} == {"age", "gender", "home"}
