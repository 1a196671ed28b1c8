"""``status`` as a whole: where the job stands, and what was decided for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ...layouts.layout import Layout
from ..base import ApiModel, Time
from ..model_facts import ModelFacts
from ..training import Recompute
from .attempt import Attempt, Failure, Restarts, Workers
from .conditions import Condition
from .notification import MAX_NOTIFICATIONS, Notification
from .origin import Origin
from .placement import Placement
from .progress import Checkpoint, Progress
from .results import Results
from .runtime import RuntimeOnRecord
from .setup import Setup
from .usage import Usage
from .values import Count, LongText, Text


class Phase(StrEnum):
    """The phase of the job's life."""

    PENDING = "Pending"
    QUEUED = "Queued"
    INSPECTING = "Inspecting"
    PREPARING = "Preparing"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        """Whether nothing will ever run again under this object."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Waiting(ApiModel):
    """Why the job does not run yet."""

    reason: Text = Field(description="What is waited for, as one word for programs.")
    message: LongText = Field(description="What is waited for, and what helps.")
    since: Time | None = Field(default=None, description="When it began to wait for this reason.")
    position: Count | None = Field(
        default=None, description="Its place in the queue of gangs that want to start; the first is 1."
    )
    estimated_start: Time | None = Field(
        default=None,
        description="When there will be room for it, by the ends that running jobs expect; empty where "
        "they do not suffice.",
    )


class Resolved(ApiModel):
    """What defaults and arithmetic made of the spec; all attempts use this image."""

    image: Annotated[str, Field(max_length=512)] = Field(description="Image of the trainer.")
    model: ModelFacts | None = Field(
        default=None, description="What the inspection of the model found; empty for built-in models."
    )
    world_size: Count = Field(description="Ranks of the gang: nodes x processes per node.")
    layout: Text = Field(description="How the gang is cut, in words, with the precision and the reason.")
    parallelism: Layout | None = Field(
        default=None,
        description="How the gang is cut: decided before the first attempt, the same for all that follow.",
    )
    precision: Text | None = Field(default=None, description="Number format of training, and why.")
    learning_rate: Text | None = Field(
        default=None,
        description="Peak learning rate, and why; empty where nothing is trained.",
    )
    defaults: Annotated[dict[str, Text], Field(max_length=16)] = Field(
        default_factory=dict,
        description="Fields of training that are as the table of defaults has them, each with value and "
        "source; llmtrain presets --hyperparameters shows all of it.",
    )
    recipe: Annotated[str, Field(max_length=512)] | None = Field(
        default=None,
        description="What a published recipe of this task, of the nearest size, trains with; nothing is "
        "decided by it.",
    )
    micro_batch: Count | None = Field(
        default=None,
        description="Sequences that a rank computes at once; empty, as what follows, for a program of one's "
        "own.",
    )
    micro_batch_reason: Text | None = Field(default=None, description="Where that number comes from.")
    activation_checkpointing: bool | None = Field(
        default=None, description="Whether activations are computed again in the backward pass."
    )
    activation_checkpointing_mode: Recompute | None = Field(
        default=None,
        description="Which of a layer's: all (full), or all but what matrix products and attention made "
        "(selective); empty where none are.",
    )
    activation_checkpointing_reason: Text | None = Field(default=None, description="Why, or why not.")
    chunked_logits: bool | None = Field(
        default=None, description="Whether logits are made a few tokens at a time."
    )
    chunked_logits_reason: Text | None = Field(default=None, description="Why, or why not.")
    accumulation: Count | None = Field(
        default=None, description="Micro-batches of a rank per optimizer step."
    )
    global_batch: Count | None = Field(default=None, description="Sequences of all ranks per optimizer step.")


MAX_ATTEMPTS = 60
"""Attempts kept in the status; the oldest are dropped."""


class JobStatus(ApiModel):
    """The state of the job. Texts beside numbers are what kubectl get shows."""

    phase: Phase | None = Field(default=None, description="Where the job is in its life.")
    attempt: Count | None = Field(
        default=None, description="Number of the current attempt; empty before the first."
    )
    setup: Setup | None = Field(
        default=None,
        description="The pod that looks at the model, or prepares the data, before the gang is created; "
        "empty when none is needed.",
    )
    restarts: Restarts | None = Field(default=None, description="How often the gang was started again.")
    workers: Workers | None = Field(default=None, description="Pods of the current attempt.")
    selector: Text | None = Field(default=None, description="Label selector of the job's pods.")
    progress: Progress | None = Field(default=None, description="How far and how fast training is.")
    checkpoint: Checkpoint | None = Field(default=None, description="The newest committed checkpoint.")
    checkpoints: Annotated[list[Count], Field(max_length=10)] | None = Field(
        default=None,
        description="Steps of the checkpoints that are kept, newest first and at most 10, as they were "
        "last told.",
    )
    waiting: Waiting | None = Field(
        default=None, description="Why the job does not run; empty when nothing is in the way."
    )
    placement: Placement | None = Field(
        default=None,
        description="The room that another scheduler gave the gang; empty without one.",
    )
    failure: Failure | None = Field(default=None, description="The root cause of the last failed attempt.")
    attempts: list[Attempt] = Field(
        default_factory=list,
        max_length=MAX_ATTEMPTS,
        description="The newest attempts and how they ended, the current one last.",
    )
    usage: Usage | None = Field(default=None, description="What the job has used so far.")
    resolved: Resolved | None = Field(
        default=None, description="What defaults and arithmetic made of the spec."
    )
    origin: Origin | None = Field(
        default=None,
        description="The step of another output that the job begins with, as checkpoint.from was found to be "
        "when the job was accepted: what becomes of the other job later changes nothing. Empty without it.",
    )
    runtime: RuntimeOnRecord | None = Field(
        default=None,
        description="The runtime that the job began with, as it was then: later changes of it count from "
        "the next rerun on. Empty when it has none.",
    )
    results: Results | None = Field(
        default=None, description="What the job leaves; empty until it has succeeded."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Conditions by the conventions of Kubernetes, for kubectl wait.",
    )
    notifications: Annotated[list[Notification], Field(max_length=MAX_NOTIFICATIONS)] | None = Field(
        default=None,
        description="The newest notifications to receivers of spec.notify, and what became of each; empty "
        "without any.",
    )
    rerun: Text | None = Field(
        default=None, description="Newest text of the annotation llmtrain.dev/rerun that was taken note of."
    )
    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that this status speaks of."
    )

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it was ever set."""
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def refusal(self) -> Condition | None:
        """The condition that says why the job may not run as it is written; None where it may."""
        accepted = self.condition("Accepted")
        return accepted if accepted is not None and accepted.status == "False" else None
