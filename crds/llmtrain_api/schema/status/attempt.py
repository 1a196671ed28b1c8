"""Starts of the gang and how they ended: ``status.attempts``, ``failure``, ``restarts``, ``workers``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ..base import ApiModel, Time
from .values import Count, ExitCode, LongText, Text


class FailureClass(StrEnum):
    """Why an attempt ended; it decides what happens next."""

    USER_ERROR = "UserError"
    OUT_OF_MEMORY = "OutOfMemory"
    INFRASTRUCTURE = "Infrastructure"
    HANG = "Hang"
    CONFIG_ERROR = "ConfigError"
    DIVERGED = "Diverged"
    UNKNOWN = "Unknown"


class Charge(StrEnum):
    """Whose restart budget pays for the end of an attempt."""

    APPLICATION = "Application"
    INFRASTRUCTURE = "Infrastructure"
    NOBODY = "Nobody"


class Restarts(ApiModel):
    """How often the gang was started again after a failure."""

    total: Count = 0
    application: Count = Field(default=0, description="Limited by recovery.maxRestarts, see below.")
    infrastructure: Count = Field(default=0, description="Limited by recovery.maxInfrastructureRestarts.")
    since_checkpoint: Count = Field(
        default=0,
        description="Application failures since the newest checkpoint was first there: what "
        "recovery.maxRestarts limits.",
    )


class Workers(ApiModel):
    """Pods of the current attempt."""

    desired: Count
    ready: Count
    summary: Text = Field(description="Ready and desired pods, as kubectl get shows them.")


class Failure(ApiModel):
    """The root cause of the last failed attempt."""

    failure_class: FailureClass = Field(alias="class")
    message: LongText
    hint: LongText | None = None
    rank: Count | None = Field(default=None, description="Node rank of the pod that failed.")
    node: Text | None = None
    container: Text | None = None
    exit_code: ExitCode | None = None
    log_tail: LongText | None = None
    time: Time | None = None


class Attempt(ApiModel):
    """One start of the whole gang."""

    number: Count
    started_at: Time
    created_at: Time | None = Field(
        default=None, description="When all its pods existed; a pod that is missing after that is lost."
    )
    running_at: Time | None = None
    failed_at: Time | None = Field(
        default=None, description="When the operator saw the first sign of its failure."
    )
    ended_at: Time | None = None
    resumed_step: Count | None = Field(
        default=None, description="Step of the checkpoint that it started from."
    )
    resumed_note: Annotated[str, Field(max_length=256)] | None = Field(
        default=None,
        description="What was unusual about that, such as another layout or a torn checkpoint that "
        "was passed over.",
    )
    checkpoint_step: Count | None = Field(
        default=None, description="Step of the newest checkpoint that was committed when it ended."
    )
    failure_class: FailureClass | None = None
    charge: Charge | None = Field(default=None, description="Whose restart budget its end was taken from.")
    node: Text | None = Field(default=None, description="Node of the root cause.")
    message: Text | None = None
