"""``status.conditions``: what `kubectl wait` waits for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..base import ApiModel, Time
from .values import Count, Text


class Condition(ApiModel):
    """A condition by the conventions of Kubernetes."""

    type: Literal["Accepted", "Running", "Suspended", "Complete", "Failed", "ReportingLost"]
    status: Literal["True", "False", "Unknown"]
    reason: Text
    message: Annotated[str, Field(max_length=8192)] = ""
    last_transition_time: Time
    observed_generation: Count | None = None
