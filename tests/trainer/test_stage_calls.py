"""A stage makes mask and rotary positions once for a micro-batch, however many blocks it has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness.children import environment
from harness.layouts.stage_calls import LAYERS, PASSES


def test_blocks_of_a_stage_share_mask_and_positions(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "harness.layouts.stage_calls", str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    blocks = LAYERS // 2 * PASSES
    for rank in range(2):
        plain, again = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert plain == {"masks": PASSES, "rotary": PASSES, "blocks": blocks}
        assert again == {"masks": PASSES, "rotary": PASSES, "blocks": 2 * blocks}
