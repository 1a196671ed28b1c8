"""``spec.checkpoint``: when checkpoints are saved, and which one is gone on from."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .locations import VISIBLE_PART, forms, matches
from .scheduling import ObjectName

ONE_OF_BOTH = "needs either job or output; set one of the two"


def _one_of_both(found: CheckpointSource) -> str | None:
    return ONE_OF_BOTH if (found.job is None) == (found.output is None) else None


class CheckpointSource(RuledModel):
    """A checkpoint of another job."""

    job: ObjectName | None = Field(
        default=None, description="Name of a job in the same namespace, whose output it lies in."
    )
    output: str | None = Field(
        default=None,
        max_length=512,
        description="Output of the job that left it, where the job is gone: pvc://CLAIM/FOLDER.",
    )
    step: int | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="Optimizer steps done in it. Default: the newest that is whole when this job begins.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.job) != has(self.output)", "", ONE_OF_BOTH, _one_of_both),
        matches(
            "output",
            ".output",
            forms(VISIBLE_PART, bucket=False),
            "use pvc://CLAIM/FOLDER, the output.uri of the job that left the checkpoint",
            optional=True,
        ),
    )


class ResumeFrom(StrEnum):
    """What is taken from a checkpoint that another job left in the output folder."""

    STATE = "state"
    WEIGHTS = "weights"


class CheckpointSpec(ApiModel):
    """When checkpoints are saved, how many are kept, and what is taken from another job's."""

    every_steps: int = Field(
        default=100, ge=1, le=10_000_000, description="Number of optimizer steps between checkpoints."
    )
    every_minutes: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Also save when this many minutes have passed since the last checkpoint. Default: save "
        "by steps only.",
    )
    background: bool = Field(
        default=True,
        alias="async",
        description="Train on while a checkpoint is written, from a copy of the state in the node's memory.",
    )
    keep: int = Field(default=2, ge=1, le=1000, description="Number of the newest checkpoints to keep.")
    resume_from: ResumeFrom = Field(
        default=ResumeFrom.STATE,
        description="What output.ifExists: resume takes from another job's checkpoint: state (everything), "
        "or weights (the optimizer starts anew; steps, data and schedule go on). A job always resumes its "
        "own checkpoints in full. So it is with a checkpoint that from names.",
    )
    source: CheckpointSource | None = Field(
        default=None,
        alias="from",
        description="Go on from a checkpoint of another job, whose output stays as it is (a fork). As soon "
        "as this job has a checkpoint of its own, restarts go on from that. Model, data, batch and sequence "
        "length must be the same; steps, learning rate, gang and layout may differ. Default: begin anew.",
    )
