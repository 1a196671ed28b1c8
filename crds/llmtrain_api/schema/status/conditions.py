"""``status.conditions``: what `kubectl wait` waits for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..base import ApiModel, Time
from .values import Count, Text

ConditionType = Literal[
    "Accepted",
    "Running",
    "Suspended",
    "Complete",
    "Failed",
    "ReportingLost",
    "Straggler",
    "RuntimeChanged",
]


class Condition(ApiModel):
    """A condition by the conventions of Kubernetes."""

    type: ConditionType = Field(description="Name of the condition, such as Running or Complete.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Text = Field(description="Why, as one word for programs.")
    message: Annotated[str, Field(max_length=8192)] = Field(default="", description="Why, for people.")
    last_transition_time: Time = Field(description="When it last changed between holding and not holding.")
    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that it speaks of."
    )
