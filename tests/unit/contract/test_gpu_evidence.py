"""What may be asked for on GPUs alone has been computed by one: the rows lie in ``bench/results``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.layouts.rows import FAMILIES

from llmtrain_api import parse_spec
from llmtrain_api.layouts.proven import table

RESULTS = Path(__file__).resolve().parents[3] / "bench" / "results"


@pytest.fixture(scope="module")
def computed() -> list[dict[str, Any]]:
    """Rows that a GPU computed, with their verdict."""
    lines = [json.loads(line) for path in RESULTS.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [line for line in lines if "equal" in line]


def test_every_family_and_stage_of_fp16_was_computed_by_a_gpu(computed: list[dict[str, Any]]) -> None:
    equal = {
        (line["row"]["family"], line["row"]["zero"])
        for line in computed
        if line["equal"] and line["row"]["precision"] == "fp16"
    }
    allowed = {(row["family"], row["zero"]) for row in table() if row["precision"] == "fp16"}
    assert len(allowed) >= 3 * len(FAMILIES)
    assert allowed <= equal


def test_no_gpu_has_computed_a_row_otherwise(computed: list[dict[str, Any]]) -> None:
    assert len(computed) >= 70
    assert all(line["equal"] for line in computed)
    for line in computed:
        limit = 1e-5 if line["row"]["precision"] == "fp32" else 1.5 * line["one_process"]["gradient"]
        assert line["gpu"]["gradient"] <= limit, line


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_fp16_may_be_asked_for_on_gpus(family: str, zero: int) -> None:
    spec = {
        "model": FAMILIES[family],
        "dataset": {"name": "builtin://random-tokens"},
        "output": {"uri": "pvc://claim/run"},
        "gpusPerNode": 2,
        "resources": {"memory": "6Gi"},
        "training": {"precision": "fp16", "zeroStage": zero, "sequenceLength": 32}
        | {"globalBatchSize": 8, "microBatchSize": 2},
    }
    assert parse_spec(spec, strict=True).training.precision == "fp16"
