"""``status.usage``: what a job has used so far."""

from __future__ import annotations

from pydantic import Field

from ..base import ApiModel
from .values import Count, Rate, Text


class Usage(ApiModel):
    """What all attempts have used, the current one as far as it is on record."""

    running_seconds: Count = Field(default=0, description="Seconds in which a gang was wholly up.")
    gpu_seconds: Count = Field(default=0, description="The same for each GPU of the gang, summed up.")
    wasted_gpu_seconds: Count = Field(
        default=0,
        description="Those since the newest checkpoint at the end of an attempt that did not succeed: what "
        "was computed then is computed again.",
    )
    cost: Rate | None = Field(
        default=None, description="gpuSeconds at the price that the installation gives; empty without one."
    )
    currency: Text | None = Field(default=None, description="Currency of the cost.")
