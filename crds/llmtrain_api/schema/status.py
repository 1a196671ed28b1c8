"""``status`` of an LLMTrainingJob: what the object itself answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ..layouts.layout import Layout
from .base import ApiModel, Time

Text = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=4096)]


class Phase(StrEnum):
    """Where the job stands, in one word."""

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


class FailureClass(StrEnum):
    """Why an attempt ended, in the words that decide what happens next."""

    USER_ERROR = "UserError"
    OUT_OF_MEMORY = "OutOfMemory"
    INFRASTRUCTURE = "Infrastructure"
    HANG = "Hang"
    CONFIG_ERROR = "ConfigError"
    DIVERGED = "Diverged"
    UNKNOWN = "Unknown"


class Restarts(ApiModel):
    """How often the gang was started again."""

    total: int = Field(default=0, ge=0)
    application: int = Field(default=0, ge=0)
    infrastructure: int = Field(default=0, ge=0)


class Workers(ApiModel):
    """Pods of the current attempt."""

    desired: int = Field(ge=0)
    ready: int = Field(ge=0)
    summary: Text = Field(description="ready/desired, for kubectl get.")


class Figures(ApiModel):
    """Figures of training that rank 0 reports and the status shows under the same names."""

    step: int | None = Field(default=None, ge=0)
    total_steps: int | None = Field(default=None, ge=0)
    epoch: float | None = Field(default=None, ge=0)
    loss: float | None = None
    eval_loss: float | None = None
    perplexity: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = Field(default=None, ge=0)
    mfu: float | None = Field(
        default=None,
        ge=0,
        description="Model FLOP/s over the peak of the job's GPUs (bf16 dense), 0 to 1: 6N + 12LHQT a token.",
    )


class Progress(Figures):
    """How far and how fast, as last reported by rank 0."""

    stage: Text | None = Field(default=None, description="prepare, train, evaluate, export.")
    percent: int | None = Field(default=None, ge=0, le=100)
    summary: Text | None = Field(default=None, description="step/totalSteps, for kubectl get.")
    percent_text: Text | None = None
    loss_text: Text | None = Field(default=None, description="Loss to three decimals, for kubectl get.")
    tokens_per_second_text: Text | None = None
    eta: Time | None = None
    eta_text: Text | None = None
    updated_at: Time | None = None


class Checkpoint(ApiModel):
    """The newest committed checkpoint."""

    step: int = Field(ge=0)
    time: Time | None = None
    uri: Text | None = None


class Waiting(ApiModel):
    """Why the job does not run yet."""

    reason: Text
    message: LongText


class Failure(ApiModel):
    """The root cause of the last failed attempt."""

    failure_class: FailureClass = Field(alias="class")
    message: LongText
    hint: LongText | None = None
    rank: int | None = Field(default=None, ge=0, description="Node rank of the pod.")
    node: Text | None = None
    container: Text | None = None
    exit_code: int | None = None
    log_tail: LongText | None = None
    time: Time | None = None


class Attempt(ApiModel):
    """One start of the whole gang."""

    number: int = Field(ge=0)
    started_at: Time
    created_at: Time | None = Field(
        default=None, description="When all its pods existed: later, missing = lost."
    )
    running_at: Time | None = None
    ended_at: Time | None = None
    resumed_step: int | None = Field(
        default=None, ge=0, description="Step of the checkpoint it started from."
    )
    resumed_note: Annotated[str, Field(max_length=256)] | None = Field(
        default=None,
        description="What was not usual about that: another layout, a torn checkpoint passed over.",
    )
    checkpoint_step: int | None = Field(
        default=None, ge=0, description="Newest step committed when it ended."
    )
    failure_class: FailureClass | None = None
    message: Text | None = None


class Resolved(ApiModel):
    """What defaults and arithmetic made of the spec; an attempt never changes its image."""

    image: Annotated[str, Field(max_length=512)]
    world_size: int
    layout: Text
    parallelism: Layout | None = Field(
        default=None,
        description="How the gang is cut: decided before the first attempt, the same for all that follow.",
    )
    micro_batch: int
    accumulation: int
    global_batch: int


class Results(ApiModel):
    """What a finished job leaves."""

    steps: int = Field(ge=0)
    stop_reason: Text | None = Field(default=None, description="Why training ended before its last step.")
    skipped_steps: int | None = Field(
        default=None, ge=0, description="Steps without an update: skipped by a rewind, or not finite."
    )
    best_step: int | None = Field(default=None, ge=0, description="Step of the lowest held-out loss.")
    best_eval_loss: float | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    perplexity: float | None = None
    unigram_entropy: float | None = Field(default=None, description="Of the held-out tokens, nat a token.")
    export_uri: Annotated[str, Field(max_length=1024)] | None = None
    sample: LongText | None = Field(default=None, description="Text generated by the exported model.")


class Condition(ApiModel):
    """A condition by the conventions of Kubernetes."""

    type: Literal["Accepted", "Running", "Suspended", "Complete", "Failed", "ReportingLost"]
    status: Literal["True", "False", "Unknown"]
    reason: Text
    message: Annotated[str, Field(max_length=8192)] = ""
    last_transition_time: Time
    observed_generation: int | None = None


MAX_ATTEMPTS = 60
"""Attempts kept in the status; the oldest are dropped."""


class JobStatus(ApiModel):
    """``status``. Texts beside numbers exist because a printer column shows one value as it is."""

    phase: Phase | None = None
    attempt: int | None = Field(default=None, ge=0)
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
    observed_generation: int | None = None

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it was ever set."""
        return next((c for c in self.conditions if c.type == kind), None)
