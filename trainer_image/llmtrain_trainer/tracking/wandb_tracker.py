"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .tracker import Run, Tracker


class WandbTracker:
    """A run of W&B, which sends in its own process and keeps what it could not send on the disk."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._run.log(dict(values), step=step)

    def finish(self, summary: Mapping[str, float], *, succeeded: bool) -> None:
        """Its summary and its end."""
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=0 if succeeded else 1)


def open_run(run: Run) -> Tracker:
    """Begin the run, or go on with the one of that id."""
    if run.uri:
        os.environ["WANDB_BASE_URL"] = run.uri
    import wandb

    return WandbTracker(
        wandb.init(
            project=run.project,
            name=run.name,
            id=run.id,
            resume="allow",
            config=dict(run.config),
            dir=str(run.folder),
            mode="offline" if run.offline else "online",
            settings=wandb.Settings(console="off", disable_git=True, silent=True),
        )
    )
