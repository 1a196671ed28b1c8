"""No kill at any moment tears a checkpoint: 500 kills at chosen file operations, then 20 of real ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.children import environment

KILLS = 500


def process(module: str, *arguments: str, log: Path) -> dict[str, Any]:
    """A harness in a process of its own, as it forks; what it prints last."""
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    with log.open("w") as errors:
        ended = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
            timeout=280,
            check=False,
        )
    assert ended.returncode == 0, log.read_text()[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_five_hundred_kills_at_file_operations(tmp_path: Path) -> None:
    """The harness itself fails at the first kill after which a new attempt would start from anything but
    the newest committed checkpoint, or after which a good one is missing."""
    found = process("harness.saves.kill_chain", str(tmp_path), str(KILLS), log=tmp_path / "log")
    print(f"{found['inside']} kills inside a save, {found['outside']} while a fence rose")
    for kind, count in found["kinds"].items():
        print(f"{count:5} {kind}")
    assert found["inside"] + found["outside"] == KILLS
    assert found["inside"] >= 400
    assert len(found["kinds"]) >= 40  # 20 operations, before and after
    assert found["torn"] >= 40


def test_twenty_kills_of_real_ranks(tmp_path: Path) -> None:
    """DeepSpeed's own saves of two ranks, half of the attempts with the thread. The harness fails when a
    committed checkpoint is torn or lost, or when an attempt cannot load where it starts."""
    found = process("harness.saves.ranks", str(tmp_path), "20", log=tmp_path / "log")
    print(found)
    assert sum(found["victims"].values()) == 20
    assert len(found["victims"]) == 2
    resumed = found["resumed"]
    assert resumed == sorted(resumed)
    assert len(set(resumed)) > 10, "most attempts were killed before they saved"
