"""A real chat model and dialogues that people wrote: one job, for a laptop and for a cluster."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from harness.dialogues import CHATTERBOT, Dialogues, parted
from harness.models.real import SMOLLM2

NAME = "helpful"
STEPS = 12
EVERY = 4
"""Steps from checkpoint to checkpoint."""
LEARNT = 0.3
"""Nat a token by which dialogues that were held out are likelier afterwards, at least."""
HELD_OUT = 40
"""Each how many questions are held out: as few as say it, for a loss is computed of each."""


def manifest(models: str, data: str) -> dict[str, Any]:
    """Adapters beside SmolLM2-135M-Instruct, trained on the answers of dialogues.

    Args:
        models: a claim's folder that has the model's.
        data: a claim's folder that has the rows'.
    """
    spec = {
        "model": {"name": f"{models}/smollm2", "adapter": {"rank": 16, "alpha": 32}},
        "task": "chat",
        "dataset": {"name": f"{data}/dialogues", "heldOutFraction": 0.01},
        "nodes": 2,
        "training": {
            "maxSteps": STEPS,
            "sequenceLength": 96,
            "globalBatchSize": 8,
            "learningRate": 2e-3,
            "warmupSteps": 2,
        },
        "checkpoint": {"everySteps": EVERY},
        "output": {"uri": f"pvc://checkpoints/{NAME}"},
    }
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingJob",
        "metadata": {"name": NAME},
        "spec": spec,
    }


def lay_out(models: Path, data: Path) -> Dialogues:
    """Put the model and the rows where the manifest names them; what the rows are parted into."""
    base, dialogues = SMOLLM2.required(), parted(CHATTERBOT.required(), HELD_OUT)
    shutil.copytree(base, models / "smollm2", copy_function=_linked)
    dialogues.write(data / "dialogues")
    return dialogues


def _linked(source: str, target: str) -> None:
    """One file twice, where the file system can: the weights have half a gigabyte."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
