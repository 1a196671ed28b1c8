"""Examples that no other test runs, by ``llmtrain run`` as they are but for a few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.biased import write_corpus, write_pairs
from harness.corpora.run import task_of_entry
from harness.corpora.table import ENTRIES, Entry
from harness.corpora.texts import NoCorpus, sentences, spread
from harness.images import write as write_images
from harness.pairs import judged, pairs, write
from harness.prompts import prompts
from harness.trainer.laptop import LaptopRun
from harness.trainer.launches import ROOT

ROWS = {"preference": pairs(40), "kto": judged(40), "reinforcement": prompts(200)}
RUN_BY_OTHERS = (*ROWS, "tiny-llama")
GALLERY = [entry for entry in ENTRIES if entry.example not in RUN_BY_OTHERS]
pytestmark = pytest.mark.timeout(600)


def ran(folder: Path, name: str, manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a manifest says while it runs for a few steps, and its results. The export opens as it says."""
    manifest["spec"]["training"]["maxSteps"] = 3
    run = LaptopRun(folder, name, seconds=400)
    run.write(manifest)
    try:
        run.start()
        run.end()
    finally:
        run.close()
    assert run.codes == [0], run.text()
    run.opened()
    results = json.loads(run.output.results.read_text())
    assert results["steps"] == 3
    return run.text(), results


def example(name: str) -> dict[str, Any]:
    """A manifest."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text())
    return found


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


@pytest.mark.parametrize("entry", GALLERY, ids=[entry.example for entry in GALLERY])
def test_an_example_of_the_gallery_runs(entry: Entry, tmp_path: Path) -> None:
    manifest = example(entry.example)
    spec = manifest["spec"]
    spec["training"].pop("epochs", None)
    if not spec["model"]["name"].startswith("builtin://"):
        spec["model"] = entry.model
    try:
        rows = spread(entry.rows(), 400)
    except NoCorpus as missing:
        pytest.skip(str(missing))
    write(tmp_path / spec["dataset"]["name"].removeprefix("pvc://"), rows)
    text, results = ran(tmp_path, manifest["metadata"]["name"], manifest)
    assert results["evalLoss"] > 0
    assert task_of_entry(entry).auto_class in text


def test_the_example_of_hidden_spans_runs(tmp_path: Path) -> None:
    write(tmp_path / "data" / "texts", spread(sentences(), 400))
    text, results = ran(tmp_path, "span-corruption", example("span-corruption"))
    assert results["evalLoss"] > 0
    assert "AutoModelForSeq2SeqLM" in text


def test_the_example_of_images_runs(tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "pictures")
    _, results = ran(tmp_path, "images", example("images"))
    assert results["evalLoss"] > 0


def test_the_example_of_pairs_that_are_held_alike_runs(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data" / "texts", 400)
    write_pairs(tmp_path / "data" / "training-pairs.jsonl", seed=2)
    shutil.copy(ROOT / "examples" / "fairness-pairs.jsonl", tmp_path / "data")
    _, results = ran(tmp_path, "alike", example("fairness-training"))
    assert results["fairnessPenalty"] > 0
    assert {one["category"] for one in results["fairness"]["categories"]} == {"age", "gender", "home"}
