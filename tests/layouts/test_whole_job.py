"""Jobs of every kind from data to export, with a batch that does not divide.

The export compares itself: a folder that computes another loss than the trained engine is no success.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.layouts.whole import run, small_job

pytestmark = pytest.mark.timeout(300)
BERT, T5 = (
    {"name": "builtin://tiny-bert", "numKvHeads": None},
    {"name": "builtin://tiny-t5", "numKvHeads": None},
)
JOBS: dict[str, dict[str, Any]] = {
    "zero 3, tied": {"model": {"tiedEmbeddings": True}, "training": {"zeroStage": 3}},
    "zero 2, documents": {"training": {"zeroStage": 2, "packing": "documents"}},
    "tensor, tied": {"model": {"tiedEmbeddings": True}, "parallelism": {"tensor": 2}},
    "tensor, zero 3, Qwen": {
        "model": {"name": "builtin://tiny-qwen"},
        "parallelism": {"tensor": 2},
        "training": {"zeroStage": 3},
    },
    "pipeline, tied, bf16": {
        "model": {"tiedEmbeddings": True},
        "parallelism": {"pipeline": 2},
        "training": {"precision": "bf16"},
    },
    "pipeline x data, documents": {
        "processesPerNode": 4,
        "parallelism": {"pipeline": 2},
        "training": {"packing": "documents"},
    },
    "sequence": {"parallelism": {"sequence": 2}},
    "one rank": {"processesPerNode": 1},
    "BERT": {"model": BERT},
    "T5, checkpointing": {"model": T5, "training": {"activationCheckpointing": True}},
}


def test_compiling_is_told_and_timed_and_nothing_cuts_the_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tensor parallelism has collectives in its layers. One piece of code, forward and backward, for both."""
    changes: dict[str, Any] = {"parallelism": {"tensor": 2}, "training": {"compile": True}}
    output = run(small_job(tmp_path, **changes), tmp_path).output
    said = capfd.readouterr().out
    assert said.index("engine built") < said.index("compiling the layers") < said.index("layers compiled")
    assert re.search(r"layers compiled\s+compilations=2 seconds=\d", said), said
    assert "compiled too often" not in said
    rows = (output.logs(0) / "metrics.jsonl").read_text().splitlines()
    first, second = (json.loads(line) for line in rows[:2])
    assert first["phases"]["compile"] > first["seconds"]  # the step's own time is without it
    assert second["phases"].get("compile", 0) == 0


@pytest.mark.parametrize("name", JOBS)
def test_it_trains_and_its_export_computes_what_was_trained(name: str, tmp_path: Path) -> None:
    asked = small_job(tmp_path, **JOBS[name])
    output = run(asked, tmp_path).output
    results = json.loads(output.results.read_text())
    assert results["steps"] == 12
    trained = json.loads(output.evaluation.read_text())
    assert trained["tokens"] > 0
    tolerance = 1e-2 if asked.spec.training.precision == "bf16" else 1e-5
    assert results["evalLoss"] == pytest.approx(trained["loss"], rel=tolerance)
    assert output.committed() == [12, 10]
    assert not (output.step(10) / "weights").exists()
