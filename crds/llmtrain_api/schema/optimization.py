"""What a job may say about its optimizer beside the usual numbers, and the rules over it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from .base import ApiModel, Rule

if TYPE_CHECKING:
    from .spec import JobSpec
    from .training import TrainingSpec


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
    """Ends training when further steps no longer help."""

    patience: int = Field(
        default=3,
        ge=1,
        le=10_000,
        description="Number of evaluations in a row without a gain that end training.",
    )
    min_delta: float = Field(
        default=0.0, ge=0, le=100, description="A held-out loss that is lower by more than this is a gain."
    )


def _decay_steps(training: TrainingSpec) -> str | None:
    if training.decay_steps is None or training.schedule is Schedule.WSD:
        return None
    return f"decaySteps is for schedule wsd; remove it, or use wsd instead of {training.schedule}"


TRAINING_RULES = (
    Rule(
        "!has(self.decaySteps) || self.schedule == 'wsd'",
        ".decaySteps",
        "decaySteps is for schedule wsd; remove it, or use wsd",
        _decay_steps,
    ),
)
"""Rules over `TrainingSpec` alone."""


def _evaluated(spec: JobSpec) -> str | None:
    if spec.training.early_stopping is None or spec.evaluation.every_steps:
        return None
    return "earlyStopping with evaluation.everySteps 0 would never act; set evaluation.everySteps"


def _half(spec: JobSpec) -> str | None:
    if not spec.training.precision.scales_losses:
        return None
    if not spec.gpus_per_node:
        return "precision fp16 with gpusPerNode 0: CPUs have no fp16 training; use bf16 or fp32, or GPUs"
    if spec.parallelism.ranks > 1:
        return "precision fp16 is for data parallelism only; use bf16, or remove parallelism"
    return None


JOB_RULES = (
    Rule(
        "self.training.precision != 'fp16' || (self.gpusPerNode > 0 && self.parallelism.tensor == 1 && "
        "self.parallelism.pipeline == 1 && self.parallelism.sequence == 1)",
        ".training.precision",
        "fp16 needs gpusPerNode above 0 and no parallelism but data; use bf16 or fp32",
        _half,
    ),
    Rule(
        "!has(self.training.earlyStopping) || self.evaluation.everySteps > 0",
        ".training.earlyStopping",
        "earlyStopping judges evaluations; set evaluation.everySteps above 0",
        _evaluated,
    ),
)
"""Rules over `JobSpec`."""
