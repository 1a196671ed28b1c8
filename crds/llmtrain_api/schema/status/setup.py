"""``status.setup``: the pods that run before the gang is created."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ..base import ApiModel, Time
from .attempt import Restarts
from .values import Count


class SetupStage(StrEnum):
    """What a pod does before there is a gang. Its value is a part of the pod's name."""

    INSPECT = "inspect"
    PREPARE = "prepare"


class Setup(ApiModel):
    """The pod that looks at the model, or prepares the data, before the gang is created."""

    stage: SetupStage = Field(description="inspect (looks at the model) or prepare (prepares the data).")
    number: Count = Field(
        description="Number of the pod {job}-{stage}-{number}, from 0; each further pod has the next."
    )
    generation: Count = Field(description="Generation of the spec that it is for.")
    started_at: Time = Field(description="When the pod was put on record, before it was created.")
    created_at: Time | None = Field(
        default=None, description="When the pod existed; one that is missing after that is lost."
    )
    ended_at: Time | None = Field(
        default=None, description="When the operator put the end of the stage on record."
    )
    restarts: Restarts = Field(
        default_factory=Restarts,
        description="Pods of this spec's setup that failed and were followed by another; the limits of "
        "recovery hold for them too.",
    )
