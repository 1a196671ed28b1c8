"""Pairs of answers that tests learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

THINGS = ("red", "blue", "green", "small", "large", "old", "new", "warm")
FEW_STEPS: dict[str, Any] = {
    "maxSteps": 12,
    "learningRate": 2e-3,
    "sequenceLength": 96,
    "globalBatchSize": 8,
    "microBatchSize": 2,
    "warmupSteps": 1,
}
"""The training of a small job on pairs."""


def pairs(count: int) -> list[dict[str, Any]]:
    """Rows whose better answer repeats the word that is asked for, and whose other one does not."""
    return [
        {
            "prompt": f"say {THINGS[at % 8]} number {at}",
            "chosen": f"{THINGS[at % 8]} it is",
            "rejected": f"no, never {THINGS[(at + 3) % 8]}",
        }
        for at in range(count)
    ]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as one file; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def judged(count: int) -> list[dict[str, Any]]:
    """The answers of these pairs, each by itself: first of one pair the better one, then of the next the
    other."""
    found = []
    for at, pair in enumerate(pairs(count)):
        desirable = at % 2 == 0
        completion = pair["chosen" if desirable else "rejected"]
        found.append({"prompt": pair["prompt"], "completion": completion, "label": desirable})
    return found
