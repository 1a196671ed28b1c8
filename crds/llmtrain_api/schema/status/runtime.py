"""The runtime of a job, kept as it was when the job began."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from ..base import ApiModel
from .values import Count, Text

ANY = WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})


class RuntimeOnRecord(ApiModel):
    """A copy of what a platform team had said when the job began."""

    kind: Literal["LLMTrainingRuntime", "ClusterLLMTrainingRuntime"] = Field(
        description="Whether it is of the job's namespace or of the cluster."
    )
    name: Text = Field(description="Its name.")
    generation: Count = Field(default=0, description="Generation of it that this is a copy of.")
    digest: Text = Field(description="SHA-256 of the copy, which tells whether it has changed since.")
    spec: Annotated[dict[str, Any], ANY] = Field(
        default_factory=dict, description="Its spec: the defaults and the bounds that the job runs under."
    )

    @property
    def title(self) -> str:
        """As people call it: kind and name."""
        return f"{self.kind} {self.name}"
