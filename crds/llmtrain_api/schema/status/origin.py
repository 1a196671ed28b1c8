"""``status.origin``: the step of another output that a job begins with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from .values import Count, Text


class Origin(ApiModel):
    """What ``checkpoint.from`` was found to be."""

    job: Text | None = Field(
        default=None, description="Name of the other job; empty where its output was named."
    )
    uid: Text | None = Field(default=None, description="UID of the other job, where it is known.")
    uri: Annotated[str, Field(max_length=1024)] = Field(description="The other output.")
    step: Count | None = Field(
        default=None, description="Step of it; empty before the job has begun where any will do."
    )

    @property
    def title(self) -> str:
        """Whose output it is, for sentences."""
        return f"job {self.job}" if self.job else self.uri
