"""Examples that no other test runs, by ``llmtrain run`` as they are but for a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.pairs import judged, pairs, write
from harness.prompts import prompts
from harness.trainer.laptop import LaptopRun
from harness.trainer.launches import ROOT

ROWS = {"preference": pairs(40), "kto": judged(40), "reinforcement": prompts(200)}
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", ROWS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    manifest: dict[str, Any] = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text())
    manifest["spec"]["training"]["maxSteps"] = 3
    source = manifest["spec"]["dataset"]["name"].removeprefix("pvc://")
    write(tmp_path / source, ROWS[name])
    run = LaptopRun(tmp_path, name, seconds=400)
    run.write(manifest)
    try:
        run.start()
        run.end()
    finally:
        run.close()
    assert run.codes == [0], run.text()
    results = json.loads(run.output.results.read_text())
    figure = {"preference": "rewardAccuracy", "kto": "accuracy", "reinforcement": "withoutSignal"}[name]
    assert results["steps"] == 3
    assert 0 <= results[name][figure] <= 1
    told = {"preference": "held-out pairs", "kto": "held-out answers", "reinforcement": "held-out prompts"}
    assert told[name] in run.text()
