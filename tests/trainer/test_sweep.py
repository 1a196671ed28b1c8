"""`llmtrain run` of a sweep: real jobs, one after the other, over the same prepared data."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.trainer.laptop import LaptopRun

SPEC = {
    "parameters": [{"field": "training.learningRate", "values": [1e-6, 1e-2]}],
    "job": {
        "model": {"name": "builtin://tiny-llama", "hiddenSize": 32, "numLayers": 1, "vocabSize": 512},
        "dataset": {"name": "builtin://python-stdlib", "maxBytes": 400_000},
        "training": {"maxSteps": 12, "globalBatchSize": 4, "sequenceLength": 32},
        "nodes": 1,
        "output": {"uri": "pvc://checkpoints/sweep"},
    },
}
pytestmark = pytest.mark.timeout(300)


def test_the_better_of_two_learning_rates_wins(tmp_path: Path) -> None:
    told = LaptopRun(tmp_path, "sweep", 240.0)
    head = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingSweep", "metadata": {"name": "rates"}}
    told.write(head | {"spec": SPEC})
    try:
        told.start()
        told.end()
        text = told.text()
        assert told.codes == [0], text
        assert "best: rates-1, evalLoss" in text, "a rate of 0.000001 learns nothing in twelve steps"
        outputs = tmp_path / "checkpoints" / "sweep"
        assert {path.name for path in outputs.iterdir()} == {"rates-0", "rates-1", "cache"}
        assert (outputs / "rates-1" / "export" / "config.json").is_file()
        told.start()
        told.end()
        assert told.codes == [0, 0]
        assert "trial 0" not in told.text(), "what is over is not run again"
        assert "best: rates-1, evalLoss" in told.text()
    finally:
        told.close()
