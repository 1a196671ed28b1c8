"""What a tracker is told, and how it is made. Libraries are imported where one is made, and not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmtrain_api import JobFile
from llmtrain_api.schema.telemetry import TrackerKind, TrackerSpec

MODULES = {TrackerKind.WANDB: "wandb", TrackerKind.MLFLOW: "mlflow", TrackerKind.TRACKIO: "trackio"}
"""The module of each library, and what pip calls it."""


@dataclass(frozen=True)
class Run:
    """The run that a job is, the same over all of its attempts.

    Attributes:
        id: of the job: a restart goes on with the same run.
        config: the spec, as a person reads it.
        folder: that the library may write to.
    """

    id: str
    name: str
    project: str
    uri: str | None
    offline: bool
    config: Mapping[str, Any]
    folder: Path


class Tracker(Protocol):
    """One library. Every call may raise anything: it is made again later."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step. Steps never fall."""

    def finish(self, summary: Mapping[str, float], *, succeeded: bool) -> None:
        """The attempt is over."""


def run_of(job: JobFile, asked: TrackerSpec, folder: Path) -> Run:
    """The run of a job."""
    return Run(
        id=job.job.uid,
        name=asked.name or job.job.name,
        project=asked.project,
        uri=asked.uri,
        offline=asked.offline,
        config=job.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"telemetry"}),
        folder=folder,
    )


def open_tracker(kind: TrackerKind, run: Run) -> Tracker:
    """Begin the run, or go on with it."""
    module = importlib.import_module(f"{__package__}.{kind.value}_tracker")
    made: Tracker = module.open_run(run)
    return made
