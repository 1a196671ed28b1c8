"""How a job is stopped, goes on and ends: none of it is what is trained, so it may be edited at any time."""

from __future__ import annotations

from pydantic import Field

from .base import ApiModel


class LifecycleSpec(ApiModel):
    """Fields that may be edited at any time. They change nothing of what is trained."""

    suspend: bool = Field(
        default=False,
        description="Save a checkpoint, end all pods and wait; false goes on from the newest checkpoint.",
    )


EDITABLE = frozenset({"recovery", *(str(field.alias) for field in LifecycleSpec.model_fields.values())})
"""Names of the fields of ``spec`` that may change once an attempt has started."""
