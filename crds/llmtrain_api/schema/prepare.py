"""``spec.prepare``: the pod that prepares the data before the gang is created."""

from __future__ import annotations

from pydantic import Field

from .base import ApiModel
from .quantity import CpuQuantity, MemoryQuantity


class PrepareResourcesSpec(ApiModel):
    """CPU and memory of the pod that prepares the data."""

    cpu: CpuQuantity | None = Field(
        default=None, description="CPU request, such as 8 or 500m. Default: resources.cpu."
    )
    memory: MemoryQuantity | None = Field(
        default=None, description="Memory request and limit, such as 16Gi. Default: resources.memory."
    )


class PrepareSpec(ApiModel):
    """Where the data are prepared: in a pod of their own, so that no GPU waits, or on the gang's node 0."""

    nodes: int | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Pods without GPUs that prepare the data before the gang is created; 0 prepares on the "
        "gang's node 0. Default: 1 for jobs with GPUs, else 0.",
    )
    resources: PrepareResourcesSpec = Field(
        default_factory=PrepareResourcesSpec, description="CPU and memory of that pod."
    )
