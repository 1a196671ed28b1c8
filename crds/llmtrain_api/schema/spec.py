"""``spec`` of an LLMTrainingJob: what a user may ask for.

Every list, map and string is bounded (the API server refuses CEL rules over unbounded ones), and every
default is here and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .dataset import DatasetSpec
from .model import ModelSpec
from .patterns import FILE_URI, PVC_URI, QUANTITY, S3_URI, Quantity, matches
from .training import TrainingSpec


class IfExists(StrEnum):
    """What to do with an output folder that another job has written to."""

    FAIL = "fail"
    RESUME = "resume"
    NEW = "new"


class ParallelismSpec(ApiModel):
    """How each copy of the model is cut; the ranks that are left train on different data."""

    tensor: int = Field(default=1, ge=1, le=64, description="Ranks that share each matrix.")
    pipeline: int = Field(default=1, ge=1, le=256, description="Stages of consecutive layers.")
    sequence: int = Field(default=1, ge=1, le=64, description="Ranks that share each sequence (Ulysses).")

    @property
    def ranks(self) -> int:
        """Ranks of one copy of the model."""
        return self.tensor * self.pipeline * self.sequence


class ResumeFrom(StrEnum):
    """What is taken from a checkpoint that another job left in the output folder."""

    STATE = "state"
    WEIGHTS = "weights"


class CheckpointSpec(ApiModel):
    """When to save, how many to keep, and what to take from another job's."""

    every_steps: int = Field(default=100, ge=1, le=10_000_000, description="Optimizer steps between saves.")
    every_minutes: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Also save when the last save is so many minutes ago. Default: by steps only.",
    )
    background: bool = Field(
        default=True,
        alias="async",
        description="Train on while a checkpoint is written, from a copy of the state in the node's memory.",
    )
    keep: int = Field(default=2, ge=1, le=1000, description="Newest checkpoints to keep.")
    resume_from: ResumeFrom = Field(
        default=ResumeFrom.STATE,
        description="What output.ifExists: resume takes from another job's checkpoint: state (all), or "
        "weights (the optimizer starts anew; steps, data and schedule go on). A job's own are resumed fully.",
    )


class EvaluationSpec(ApiModel):
    """When to measure the held-out loss. It is always measured at the end."""

    every_steps: int = Field(default=100, ge=0, le=10_000_000, description="0 = only at the end.")
    max_sequences: int = Field(
        default=512, ge=1, le=10_000_000, description="Held-out sequences used at most, the same each time."
    )


class OutputSpec(RuledModel):
    """Where checkpoints, logs and the exported model go."""

    uri: str = Field(
        max_length=512,
        description=(
            "pvc://CLAIM/FOLDER, a claim that is ReadWriteMany when nodes > 1; or s3://BUCKET/FOLDER, an "
            "object store: nodes then share no folder, and each works in its own scratch space."
        ),
    )
    secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description=(
            "Secret in the job's namespace whose keys become the workers' environment: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a store that is not Amazon's. Only for s3://."
        ),
    )
    if_exists: IfExists = Field(
        default=IfExists.FAIL,
        description="A folder that another job wrote: fail (naming it), resume from it, or new beside it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "uri",
            ".uri",
            f"{PVC_URI}|{FILE_URI}|{S3_URI}",
            "use pvc://CLAIM/FOLDER, such as pvc://checkpoints/my-run, or s3://BUCKET/FOLDER",
        ),
        Rule(
            "!has(self.secret) || self.uri.startsWith('s3://')",
            ".secret",
            "only an s3:// output has credentials; remove output.secret, or use s3://BUCKET/FOLDER",
            lambda output: (
                None
                if output.secret is None or output.in_object_store
                else f"got {output.secret!r}, but uri {output.uri!r} needs no credentials; remove one of them"
            ),
        ),
    )

    @property
    def in_object_store(self) -> bool:
        """Whether the output is no folder that nodes share."""
        return self.uri.startswith("s3://")


class ResourcesSpec(RuledModel):
    """What each node of the gang gets."""

    cpu: Quantity = Field(default="1", description="CPU request of each node.")
    memory: Quantity = Field(default="4Gi", description="Memory request and limit of each node.")
    gpu_memory: Quantity = Field(
        default="80Gi", description="Memory of one GPU; decides the ZeRO stage when zeroStage is unset."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches("cpu", ".cpu", QUANTITY, "use a Kubernetes quantity, such as 500m or 2", or_int=True),
        matches(
            "memory", ".memory", QUANTITY, "use a Kubernetes quantity, such as 512Mi or 4Gi", or_int=True
        ),
        matches("gpu_memory", ".gpuMemory", QUANTITY, "use a Kubernetes quantity, such as 80Gi", or_int=True),
    )


class RecoverySpec(ApiModel):
    """How often to start again."""

    max_restarts: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Restarts after application failures; refilled when a newer checkpoint was committed.",
    )
    max_infrastructure_restarts: int = Field(
        default=50, ge=0, le=1000, description="Restarts after lost, evicted or deleted pods."
    )


class JobSpec(ApiModel):
    """``spec``: twelve lines are enough, everything else has a default."""

    # what its sections must be to each other is in `rules`, which `parse_spec` holds and this model does not

    model: ModelSpec = Field(description="What to train.")
    dataset: DatasetSpec = Field(description="What to train on.")
    output: OutputSpec = Field(description="Where results go.")
    nodes: int = Field(default=1, ge=1, le=4096, description="Pods of the gang, one a node where possible.")
    gpus_per_node: int = Field(default=0, ge=0, le=64, description="0 = CPU and gloo.")
    processes_per_node: int = Field(
        default=1, ge=1, le=64, description="Training processes a node without GPUs."
    )
    resources: ResourcesSpec = Field(default_factory=ResourcesSpec, description="CPU and memory a node.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="How to train.")
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec, description="How the model is cut. Unset: ZeRO alone."
    )
    checkpoint: CheckpointSpec = Field(default_factory=CheckpointSpec, description="When to save.")
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec, description="When to evaluate.")
    recovery: RecoverySpec = Field(default_factory=RecoverySpec, description="When to give up.")
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Trainer image. Default: the operator's setting.",
    )

    @property
    def local_world_size(self) -> int:
        """Training processes on each node."""
        return self.gpus_per_node or self.processes_per_node

    @property
    def world_size(self) -> int:
        """Training processes of the gang."""
        return self.nodes * self.local_world_size
