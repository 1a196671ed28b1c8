"""Starts of the gang and how they ended: ``status.attempts``, ``failure``, ``restarts``, ``workers``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ..base import ApiModel, Time
from .values import Count, ExitCode, LongText, Text

MAX_AVOIDED_NODES = 8


class FailureClass(StrEnum):
    """Why an attempt ended; it decides what happens next."""

    USER_ERROR = "UserError"
    OUT_OF_MEMORY = "OutOfMemory"
    INFRASTRUCTURE = "Infrastructure"
    HANG = "Hang"
    CONFIG_ERROR = "ConfigError"
    DIVERGED = "Diverged"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BUDGET_EXCEEDED = "BudgetExceeded"
    UNKNOWN = "Unknown"


class Charge(StrEnum):
    """Whose restart budget pays for the end of an attempt."""

    APPLICATION = "Application"
    INFRASTRUCTURE = "Infrastructure"
    NOBODY = "Nobody"


class EndReason(StrEnum):
    """Why the operator ended an attempt in which nothing had failed."""

    SUSPENDED = "Suspended"
    NO_ROOM = "NoRoom"
    START_DEADLINE = "StartDeadline"
    STOPPED = "Stopped"
    ACTIVE_DEADLINE = "ActiveDeadline"
    GPU_HOURS = "GpuHours"
    PREEMPTED = "Preempted"
    RESIZED = "Resized"


class Restarts(ApiModel):
    """How often the gang was started again after a failure."""

    total: Count = Field(default=0, description="Restarts of the gang, whoever was to blame.")
    application: Count = Field(
        default=0, description="Restarts after failures of the program, since the job began."
    )
    infrastructure: Count = Field(
        default=0,
        description="Restarts after something was done to the pods from outside; "
        "recovery.maxInfrastructureRestarts limits them.",
    )
    since_checkpoint: Count = Field(
        default=0,
        description="Application failures since the newest checkpoint was first there: what "
        "recovery.maxRestarts limits.",
    )


class Workers(ApiModel):
    """Pods of the current attempt."""

    desired: Count = Field(description="Pods of the gang.")
    ready: Count = Field(description="Pods of the current attempt that run and are ready.")
    summary: Text = Field(description="Ready and desired pods, as kubectl get shows them.")
    wanted: Count | None = Field(
        default=None,
        description="Pods that the spec asks for, where the gang has another number.",
    )
    message: LongText | None = Field(default=None, description="Why it has another number.")


class Failure(ApiModel):
    """The root cause of the last failed attempt."""

    failure_class: FailureClass = Field(
        alias="class",
        description="What kind of failure it was; it decides whether the gang is started again, and whose "
        "budget pays for it.",
    )
    message: LongText = Field(description="What happened, in the words of whoever saw it first.")
    reason: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Name of a known failure; docs/failures.md lists them."
    )
    hint: LongText | None = Field(default=None, description="What to change.")
    rank: Count | None = Field(default=None, description="Node rank of the pod that failed.")
    node: Text | None = Field(default=None, description="Node that the pod ran on.")
    container: Text | None = Field(default=None, description="Container that failed.")
    exit_code: ExitCode | None = Field(
        default=None, description="Exit code of the process that failed; a negative one is a signal."
    )
    log_tail: LongText | None = Field(
        default=None, description="The last lines of its log, without obvious secrets."
    )
    time: Time | None = Field(default=None, description="When it failed, by the clock of its node.")


class Attempt(ApiModel):
    """One start of the whole gang."""

    number: Count = Field(description="Number of the attempt, from 0.")
    started_at: Time = Field(description="When the attempt was put on record, before its pods were created.")
    created_at: Time | None = Field(
        default=None, description="When all its pods existed; a pod that is missing after that is lost."
    )
    running_at: Time | None = Field(default=None, description="When all its pods ran for the first time.")
    failed_at: Time | None = Field(
        default=None, description="When the operator saw the first sign of its failure."
    )
    stopping_at: Time | None = Field(
        default=None, description="When the operator began to end it: its ranks save a checkpoint."
    )
    ended_at: Time | None = Field(default=None, description="When the operator put its end on record.")
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
    nodes: Count | None = Field(
        default=None, description="Pods of its gang, of a job with minNodes, once decided."
    )
    next_nodes: Count | None = Field(
        default=None,
        description="Most pods of the gang that follows.",
    )
    running_seconds: Count = Field(
        default=0, description="Seconds in which its gang was wholly up, as far as they are on record."
    )
    steps_gained: Count | None = Field(
        default=None, description="Steps from the checkpoint that it started from to the newest at its end."
    )
    steps_lost: Count | None = Field(
        default=None, description="Steps that it did beyond that: they are done again."
    )
    failure_class: FailureClass | None = Field(
        default=None, description="What kind of failure ended it; empty if none did."
    )
    reason: EndReason | None = Field(
        default=None, description="Why the operator ended it; empty if it ended by itself."
    )
    charge: Charge | None = Field(default=None, description="Whose restart budget its end was taken from.")
    node: Text | None = Field(default=None, description="Node of the root cause.")
    message: Text | None = Field(default=None, description="Why it ended.")
    avoided_nodes: Annotated[list[Text], Field(max_length=MAX_AVOIDED_NODES)] | None = Field(
        default=None, description="Nodes that its pods keep off where there is other room."
    )
