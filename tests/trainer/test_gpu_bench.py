"""The script for a lent GPU runs from end to end without one, so that no minute of a GPU goes to a typo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.gpucases.numbers import found_its_scale, rows_of
from harness.children import environment
from harness.layouts.rows import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "environment", "imports", "first steps", "job", "fp32 llama", "bf16 llama", "fp16 llama", "not finite",
    "loss scale", "sparing llama", "speed ours eager", "speed plain eager", "memory tiny", "save",
    "packed numbers", "packed speed by document", "fp8 numbers",
}  # fmt: skip


@pytest.mark.timeout(600)
def test_every_case_runs_on_a_cpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.gpu", "--tiny", "--out", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert {one["case"]: one["ended"] for one in lines if "ended" in one} == dict.fromkeys(CASES, 0)
    rows = [one for one in lines if "equal" in one]
    assert len(rows) == 4
    assert all(one["equal"] and one["gpu"]["gradient"] > 0 for one in rows)


def test_a_hung_and_a_failed_case_cost_themselves_alone(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "from pathlib import Path\n"
        "from bench.gpucases.runner import Case, Run\n"
        "def hang(context): time.sleep(600)\n"
        "def fail(context): raise ValueError('so it went')\n"
        "def good(context): context.say({'found': 1})\n"
        f"run = Run(Path({str(tmp_path)!r}), tiny=True, until=1e18)\n"
        "run.group([Case('hang', 0.1, hang), Case('fail', 60, fail), Case('good', 60, good)])\n"
        "print(sorted(run.failed))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "['fail', 'hang']", done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    ended = {one["case"]: one for one in lines if "ended" in one}
    assert ended["hang"]["ended"] == "out of time"
    assert "so it went" in ended["fail"]["log"]
    assert ended["good"]["ended"] == 0


def test_a_loss_scale_is_found_only_where_steps_were_dropped_and_then_right() -> None:
    good = {"applied": [False, True], "scales": [65536.0, 4096.0], "finite": True, "norm": 1.0, "right": 1.0}
    assert found_its_scale(good)
    for wrong in (
        {"applied": [True]},
        {"applied": [False, False]},
        {"scales": [65536.0, 65536.0]},
        {"finite": False},
        {"norm": 1.1},
    ):
        assert not found_its_scale(good | wrong), wrong


def test_every_family_meets_every_stage_and_both_checkpointings() -> None:
    for family in FAMILIES:
        for precision, lowest in (("fp32", 0), ("bf16", 1), ("fp16", 1)):
            rows = rows_of(family, precision)
            assert [row.layout.zero for row in rows] == list(range(lowest, 4))
            assert {row.checkpointing for row in rows} == {True, False}
            assert {row.precision for row in rows} == {precision}
