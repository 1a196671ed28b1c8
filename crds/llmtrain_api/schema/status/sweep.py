"""``status`` of an LLMTrainingSweep."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from .adapters import AdapterRecord, BaseRecord
from .conditions import Condition
from .values import Count, Figure, LongText, Text

MAX_RECORDS = 1024


class SweepPhase(StrEnum):
    """Where a sweep is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        """Whether no trial will begin any more."""
        return self in (SweepPhase.SUCCEEDED, SweepPhase.FAILED)


Values = Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=16)]


class TrialRecord(ApiModel):
    """One trial: kept also when its job is deleted after its end."""

    job: Text = Field(description="Name of its LLMTrainingJob.")
    number: Count = Field(description="Which combination of values it is, from 0.")
    round: Count = Field(default=0, description="Round of halving, from 0.")
    values: Values = Field(description="Value of each parameter's field, as JSON.")
    phase: Text = Field(description="Phase of its job; Waiting before there is one.")
    value: Figure | None = Field(default=None, description="The metric, once it has succeeded.")
    message: LongText | None = Field(default=None, description="Why it has none.")
    adapter: AdapterRecord | None = Field(
        default=None, description="Of a sweep of adapters: the one that it exported, once it may be served."
    )


class BestTrial(ApiModel):
    """The best of the trials that have succeeded."""

    job: Text = Field(description="Name of its LLMTrainingJob.")
    values: Values = Field(description="Value of each parameter's field, as JSON.")
    value: Figure = Field(description="The metric.")
    value_text: Text = Field(description="The same for kubectl get.")


class SweepStatus(ApiModel):
    """The state of a sweep."""

    phase: SweepPhase | None = Field(default=None, description="Where the sweep is in its life.")
    summary: Text | None = Field(default=None, description="Trials that are over, of all.")
    message: LongText | None = Field(default=None, description="What it waits for, or why it failed.")
    trials: Annotated[list[TrialRecord], Field(max_length=MAX_RECORDS)] = Field(
        default_factory=list, description="All trials, those of later rounds once they are known."
    )
    best: BestTrial | None = Field(default=None, description="The best trial so far.")
    base: BaseRecord | None = Field(
        default=None,
        description="Of a sweep of adapters: the model that the first trained one stands beside.",
    )
    digest: Text | None = Field(
        default=None, description="SHA-256 of what the trials follow from, once the first was made."
    )
    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that this is the state of."
    )
    conditions: list[Condition] = Field(default_factory=list, description="Accepted.")
