"""Time in collectives is seen in every layout, no other phase is lost, and all ranks enter the same ones."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from harness.children import environment

LAYOUTS = ["zero 0", "zero 1", "zero 2", "zero 3", "tensor", "pipeline", "sequence"]


@pytest.fixture(scope="module")
def told() -> dict[str, list[dict[str, Any]]]:
    """Seconds by phase, and operations, of both ranks in each layout. A process of its own: pytest's has
    computed."""
    command = [sys.executable, "-W", "ignore", "-m", "harness.layouts.communication"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_collectives_of_each_layout_are_seen(name: str, told: dict[str, list[dict[str, Any]]]) -> None:
    passes = {"forward_backward"} if name == "pipeline" else {"forward", "backward"}
    for rank in told[name]:
        seen = {phase for phase, one in rank["seconds"].items() if one > 1e-5}
        assert seen >= passes | {"optimizer", "communication"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_ranks_enter_the_same_operations(name: str, told: dict[str, list[dict[str, Any]]]) -> None:
    """Of a hang whoever has entered fewer is told: in a layout where ranks differ that would be a lie."""
    first, second = (rank["entered"] for rank in told[name])
    assert first == second
    assert len(first) > 2
