"""``status`` of an LLMTrainingJob: what the object itself answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ..layouts.layout import Layout
from .base import ApiModel, Time

Text = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=4096)]
MAX_COUNT = 2**53
"""Every count up to here is the same number for whoever reads JSON."""
MAX_FIGURE = 1e30
"""Larger than any loss, norm or rate that still means something; as text it fits into a column."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Figure = Annotated[float, Field(ge=-MAX_FIGURE, le=MAX_FIGURE)]
Rate = Annotated[float, Field(ge=0, le=MAX_FIGURE)]
ExitCode = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


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


class Figures(ApiModel):
    """Figures of training that rank 0 reports and the status shows under the same names."""

    step: Count | None = None
    total_steps: Count | None = None
    epoch: Rate | None = None
    loss: Figure | None = None
    eval_loss: Figure | None = None
    perplexity: Figure | None = None
    learning_rate: Figure | None = None
    grad_norm: Figure | None = None
    tokens_per_second: Rate | None = None
    mfu: Rate | None = Field(
        default=None,
        description="Model FLOP/s over the peak of the job's GPUs (bf16 dense), from 0 to 1, counting "
        "6N + 12LHQT per token.",
    )


class Progress(Figures):
    """How far and how fast training is, as rank 0 last reported."""

    stage: Text | None = Field(
        default=None,
        description="What the trainer does: prepare, wait (for the other nodes), train, evaluate or export.",
    )
    percent: int | None = Field(default=None, ge=0, le=100)
    summary: Text | None = Field(default=None, description="Step and total steps, as kubectl get shows them.")
    percent_text: Text | None = None
    loss_text: Text | None = Field(
        default=None, description="Loss to three decimals, as kubectl get shows it."
    )
    tokens_per_second_text: Text | None = None
    eta: Time | None = None
    eta_text: Text | None = None
    updated_at: Time | None = None


class Checkpoint(ApiModel):
    """The newest committed checkpoint."""

    step: Count
    time: Time | None = None
    uri: Text | None = None


class Waiting(ApiModel):
    """Why the job does not run yet."""

    reason: Text
    message: LongText
    since: Time | None = Field(default=None, description="When it began to wait for this reason.")


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


class DataSummary(ApiModel):
    """What was read of the dataset, and what was not."""

    documents: Count = Field(description="For training and for evaluation.")
    tokens: Count = Field(description="That training reads in one epoch.")
    bytes_read: Count = Field(description="Of the dataset's files.")
    bytes_not_read: Count = Field(description="Beyond maxBytes.")
    replaced_characters: Count = Field(description="Bytes or half characters that are no text.")
    skipped_files: Count = Field(
        description="Files and folders that are not read; the log of preparation names them."
    )


class Results(ApiModel):
    """Results of a job that succeeded."""

    steps: Count
    stop_reason: Text | None = Field(default=None, description="Why training ended before its last step.")
    skipped_steps: int | None = Field(
        default=None,
        ge=0,
        description="Steps without an update, because a rewind skipped them or they were not finite.",
    )
    best_step: Count | None = Field(default=None, description="Step with the lowest held-out loss.")
    best_eval_loss: Figure | None = None
    train_loss: Figure | None = None
    eval_loss: Figure | None = None
    perplexity: Figure | None = None
    data: DataSummary | None = Field(default=None, description="None for data that are no text.")
    unigram_entropy: Figure | None = Field(
        default=None, description="Entropy of single held-out tokens, in nats per token."
    )
    export_uri: Annotated[str, Field(max_length=1024)] | None = None
    sample: LongText | None = Field(default=None, description="Text generated by the exported model.")


class Condition(ApiModel):
    """A condition by the conventions of Kubernetes."""

    type: Literal["Accepted", "Running", "Suspended", "Complete", "Failed", "ReportingLost"]
    status: Literal["True", "False", "Unknown"]
    reason: Text
    message: Annotated[str, Field(max_length=8192)] = ""
    last_transition_time: Time
    observed_generation: Count | None = None


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
