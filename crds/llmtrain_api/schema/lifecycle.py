"""How a job is stopped, goes on and ends: none of it is what is trained, so it may be edited at any time."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .base import ApiModel
from .notify import MAX_RECEIVERS, NotifySpec

MAX_SECONDS = 10 * 366 * 86_400


class KeepPods(StrEnum):
    """Which ended pods stay when a job is over."""

    ALWAYS = "always"
    ON_FAILURE = "onFailure"
    NEVER = "never"


class LimitsSpec(ApiModel):
    """What a job may use. One that has used it up saves a checkpoint and fails as BudgetExceeded."""

    gpu_hours: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Most GPU-hours of all attempts together, counted while a gang is wholly up.",
    )


class LifecycleSpec(ApiModel):
    """Fields that may be edited at any time. They change nothing of what is trained."""

    suspend: bool = Field(
        default=False,
        description="Save a checkpoint, end all pods and wait; false goes on from the newest checkpoint.",
    )
    preemptible: bool = Field(
        default=False,
        description="The queue may end its gang, from a checkpoint, for a job of higher priority.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SECONDS,
        description="Longest time that gangs run, all attempts together and without suspension; then the job "
        "saves a checkpoint and fails as DeadlineExceeded. Default: no limit.",
    )
    start_timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SECONDS,
        description="Longest time from the creation of an attempt's pods until all of them run; then the job "
        "fails as DeadlineExceeded. Waiting for room before is not counted. Default: it waits.",
    )
    limits: LimitsSpec = Field(default_factory=LimitsSpec, description="What the job may use.")
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SECONDS,
        description="Delete the job and its pods so long after its end; the output stays. Default: never.",
    )
    keep_pods: KeepPods = Field(
        default=KeepPods.ALWAYS,
        description="Whether the ended pods of the last attempt stay, for their logs: always, onFailure or "
        "never. They go with the job.",
    )

    notify: list[NotifySpec] = Field(
        default_factory=list,
        max_length=MAX_RECEIVERS,
        description="Who is told of what becomes of the job, where the chart's notifications allow it.",
    )


EDITABLE = frozenset({"recovery", *(str(field.alias) for field in LifecycleSpec.model_fields.values())})
"""Names of the fields of ``spec`` that may change once an attempt has started."""
