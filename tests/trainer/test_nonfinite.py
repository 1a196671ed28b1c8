"""A gradient that is not finite never reaches the weights, and a rewind is exact: in every layout."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from harness.children import environment
from harness.layouts.nonfinite import POISONED, ROWS, STEPS


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By row: what each rank saw."""
    folder = tmp_path_factory.mktemp("nonfinite")
    command = [sys.executable, "-m", "harness.layouts.nonfinite", str(folder)]
    subprocess.run(command, check=True, env=environment(), capture_output=True)
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_step_is_dropped_and_said_to_be_dropped_on_every_rank(row: Any, seen: dict[str, Any]) -> None:
    ranks = seen[str(row)]
    assert isinstance(ranks, list), ranks
    assert len(ranks) == row.layout.world
    for found in ranks:
        assert found["finite"] == [True] * STEPS
        assert found["applied"] == [step != POISONED for step in range(STEPS)]
        assert found["moved"] == found["applied"]
        assert found["norms"][POISONED] == "inf"
        assert found["norms"] == ranks[0]["norms"]  # what is judged by must be the same everywhere
        assert all(norm > 0 for step, norm in enumerate(found["norms"]) if step != POISONED)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_layout_knows_the_same_gradient_norm(row: Any, seen: dict[str, Any]) -> None:
    """Also without ZeRO, and with the scale of fp16 taken off again."""
    right = seen[str(ROWS[0])][0]["norms"]
    limit = 1e-5 if row.precision == "fp32" else 2e-2
    for step, norm in enumerate(seen[str(row)][0]["norms"]):
        if step != POISONED:
            assert norm == pytest.approx(right[step], rel=limit)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_rewind_trains_the_same_steps_to_the_same_bits(row: Any, seen: dict[str, Any]) -> None:
    for found in seen[str(row)]:
        assert found["back"]
        assert found["again"]
