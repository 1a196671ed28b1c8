"""Time in collectives is seen in every layout, and no other phase is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from harness.children import environment


@pytest.fixture(scope="module")
def spent() -> dict[str, list[dict[str, float]]]:
    """Seconds by phase of both ranks in each layout. A process of its own: pytest's has computed."""
    command = [sys.executable, "-W", "ignore", "-m", "harness.layouts.communication"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[dict[str, float]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["zero 1", "zero 2", "zero 3", "tensor", "pipeline", "sequence"])
def test_collectives_of_each_layout_are_seen(name: str, spent: dict[str, list[dict[str, float]]]) -> None:
    passes = {"forward_backward"} if name == "pipeline" else {"forward", "backward"}
    for seconds in spent[name]:
        seen = {phase for phase, one in seconds.items() if one > 1e-5}
        assert seen >= passes | {"optimizer", "communication"}
