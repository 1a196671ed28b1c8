"""What a job may say about its optimizer beside the usual numbers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .base import ApiModel


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"
    WSD = "wsd"


class OnSpike(StrEnum):
    """What to do when a step's loss or gradient norm leaps."""

    WARN = "warn"
    REWIND = "rewind"
    STOP = "stop"


class EarlyStoppingSpec(ApiModel):
    """When further training no longer helps."""

    patience: int = Field(
        default=3, ge=1, le=10_000, description="Evaluations in a row without a gain that end training."
    )
    min_delta: float = Field(
        default=0.0, ge=0, le=100, description="A held-out loss lower by more than this is a gain."
    )
