"""Prompts that tests let a model answer, and jobs that reward what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.builders import job
from harness.pairs import THINGS
from llmtrain_api import JobFile

LETTERS: dict[str, Any] = {"kind": "regex", "pattern": "[a-z ]+", "name": "letters"}
"""An answer of lower-case letters and spaces alone, which a model with random weights seldom writes."""


def prompts(count: int) -> list[dict[str, Any]]:
    """Rows of a prompt and its right answer."""
    return [{"prompt": f"say {THINGS[at % 8]} {at}", "answer": THINGS[at % 8]} for at in range(count)]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as one file; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def asked(
    work: Path,
    how: dict[str, Any],
    *,
    ranks: int = 1,
    attempt: int = 0,
    adapter: dict[str, Any] | None = None,
    **training: Any,
) -> JobFile:
    """A job on prompts with a tiny model.

    Args:
        work: where rows and output lie.
        how: `training.reinforcement`.
        ranks: processes.
        attempt: its number.
        adapter: `model.adapter`, where such is trained.
        training: other fields of `training`.
    """
    few = {
        "maxSteps": 3,
        "learningRate": 1e-2,
        "schedule": "constant",
        "weightDecay": 0.0,
        "sequenceLength": 64,
        "globalBatchSize": 4,
        "microBatchSize": 2,
        "warmupSteps": 1,
    }
    return job(
        work / "output",
        attempt=attempt,
        task="reinforcement",
        model={"hiddenSize": 32, "numLayers": 2, "vocabSize": 320}
        | ({"adapter": adapter} if adapter else {}),
        dataset={"name": f"file://{write(work / 'rows', prompts(64))}", "heldOutFraction": 0.2},
        training={**few, "reinforcement": how, **training},
        processesPerNode=ranks,
        checkpoint={"everySteps": 10},
        evaluation={"everySteps": 0, "maxSequences": 32},
    )
