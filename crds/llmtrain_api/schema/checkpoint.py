"""``spec.checkpoint``: when checkpoints are saved, and from which step of another job a job goes on."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .locations import VISIBLE_PART, forms, matches, mistake
from .scheduling import ObjectName

NO_STORE = (
    "a step is copied from folder to folder, and the steps of an object store are no folders; name a "
    "pvc://CLAIM/FOLDER that has a copy of that output"
)
"""Why no ``s3://`` output is a source."""


class ResumeFrom(StrEnum):
    """What is taken from a checkpoint that another job left in the output folder."""

    STATE = "state"
    WEIGHTS = "weights"


def _one_of_both(source: CheckpointSource) -> str | None:
    if (source.job is None) != (source.output is None):
        return None
    return "name the other job (job) or its output (output), exactly one of both"


class CheckpointSource(RuledModel):
    """A committed step of another output."""

    job: ObjectName | None = Field(
        default=None,
        description="Name of the other job, in the same namespace. Its output is looked up once.",
    )
    output: str | None = Field(
        default=None,
        max_length=512,
        description="In place of job: the other output as a folder, pvc://CLAIM/FOLDER, such as that of a "
        "job that is deleted.",
    )
    step: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Step of the checkpoint. Default: the newest that is whole when this job begins.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.job) != has(self.output)",
            "",
            "name the other job (job) or its output (output), exactly one of both",
            _one_of_both,
        ),
        matches(
            "output",
            ".output",
            forms(VISIBLE_PART, bucket=False),
            "use pvc://CLAIM/FOLDER: the folder that the other job's output.uri names; no s3://, as a step "
            "is copied from folder to folder",
            optional=True,
            why=lambda uri: NO_STORE if uri.startswith("s3://") else mistake(uri, hidden=False, bucket=False),
        ),
    )


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
    keep_best: bool = Field(
        default=False,
        description="Also save after each evaluation (evaluation.everySteps) whose held-out loss is the "
        "lowest so far, with the whole model's weights; keep the newest of these, which is the best, beside "
        "the others, and export it at the end in place of the last step. Where such a save fails, the one "
        "before it stays the best; without any, the last step is exported.",
    )
    resume_from: ResumeFrom = Field(
        default=ResumeFrom.STATE,
        description="What is taken from another job's checkpoint, by from or by output.ifExists: resume: "
        "state (everything), or weights (the optimizer starts anew; steps, data and schedule go on). A job "
        "always resumes its own checkpoints in full.",
    )
    source: CheckpointSource | None = Field(
        default=None,
        alias="from",
        description="A committed step of another job that this job goes on from: its output begins with a "
        "copy of that step, and the other output stays as it is. Default: training begins anew.",
    )
