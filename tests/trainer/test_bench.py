"""The benchmark runs every contestant; how fast they are is for `make bench` to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness.children import environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(900)
def test_every_contestant_takes_its_turns(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "bench.trainer",
            "--quick",
            "--rounds",
            "2",
            "--json",
            figures,
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    alone, two = json.loads(figures.read_text())
    assert (alone["layout"], two["layout"]) == ("dp1 zero0", "dp2 zero0")
    for race in (alone, two):
        names = [one["name"] for one in race["lines"]]
        assert names == ["plain PyTorch", "llmtrain", "HF Trainer", "HF Trainer + DeepSpeed"]
        assert all(one["tokensPerSecond"] > 0 for one in race["lines"])
        assert race["lines"][0]["ratio"] == 1.0
    assert [len(race["verdicts"]) for race in (alone, two)] == [1, 3]


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_starts_are_measured_to_the_first_step() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "bench.startup", "1"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert min(told["launcher, CPU s"], told["torchrun alone, CPU s"]) > 1, "the ranks' processes count"
    assert told["launcher, CPU s"] > told["imports of a rank, CPU s"] > 1
