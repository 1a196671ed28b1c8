"""``status`` as a whole: where the job stands, and what was decided for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ...layouts.layout import Layout
from ..base import ApiModel, Time
from .attempt import Attempt, Failure, Restarts, Workers
from .conditions import Condition
from .progress import Checkpoint, Progress
from .results import Results
from .values import Count, LongText, Text


class Phase(StrEnum):
    """The phase of the job's life."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        """Whether nothing will ever run again under this object."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Waiting(ApiModel):
    """Why the job does not run yet."""

    reason: Text
    message: LongText
    since: Time | None = Field(default=None, description="When it began to wait for this reason.")


class Resolved(ApiModel):
    """What defaults and arithmetic made of the spec; all attempts use this image."""

    image: Annotated[str, Field(max_length=512)]
    world_size: Count
    layout: Text
    parallelism: Layout | None = Field(
        default=None,
        description="How the gang is cut: decided before the first attempt, the same for all that follow.",
    )
    micro_batch: Count
    accumulation: Count
    global_batch: Count


MAX_ATTEMPTS = 60
"""Attempts kept in the status; the oldest are dropped."""


class JobStatus(ApiModel):
    """The state of the job. Texts beside numbers are what kubectl get shows."""

    phase: Phase | None = None
    attempt: Count | None = None
    restarts: Restarts | None = None
    workers: Workers | None = None
    progress: Progress | None = None
    checkpoint: Checkpoint | None = None
    waiting: Waiting | None = None
    failure: Failure | None = None
    attempts: list[Attempt] = Field(default_factory=list, max_length=MAX_ATTEMPTS)
    resolved: Resolved | None = None
    results: Results | None = None
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    observed_generation: Count | None = None

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it was ever set."""
        return next((c for c in self.conditions if c.type == kind), None)
