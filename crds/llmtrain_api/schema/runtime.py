"""``spec`` of an LLMTrainingRuntime: what a platform team gives to jobs, and how far they may go."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .base import ApiModel, Rule
from .lifecycle import MAX_SECONDS, LimitsSpec
from .placement import PlacedPodSpec
from .pod_template import PodTemplate
from .scheduling import Keeps, ObjectName
from .spec import ResourcesSpec

MAX_LISTED = 64
MAX_PATH = 64
MAX_NAMESPACE = 63


class RuntimeDefaults(PlacedPodSpec):
    """Fields of a job's spec, for jobs that leave them out. Maps are joined, the job's value wins per key."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the trainer, as spec.image.",
    )
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec,
        description="CPU, memory and devices per node, as spec.resources; each field by itself.",
    )
    pod_template: PodTemplate | None = Field(
        default=None,
        description="What is added to the worker pods, as spec.podTemplate; the job's is added to it.",
    )
    limits: LimitsSpec = Field(default_factory=LimitsSpec, description="What a job may use, as spec.limits.")
    active_deadline_seconds: int | None = Field(
        default=None, ge=1, le=MAX_SECONDS, description="As spec.activeDeadlineSeconds."
    )
    start_timeout_seconds: int | None = Field(
        default=None, ge=1, le=MAX_SECONDS, description="As spec.startTimeoutSeconds."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, le=MAX_SECONDS, description="As spec.ttlSecondsAfterFinished."
    )


def _aliases(model: type[ApiModel]) -> tuple[str, ...]:
    return tuple(str(field.alias) for field in model.model_fields.values())


DEFAULTED = _aliases(RuntimeDefaults)
"""Fields of a job's spec that a runtime may give a default to."""
OVERRIDABLE = (*DEFAULTED, *(f"resources.{name}" for name in _aliases(ResourcesSpec)))
"""What ``bounds.overrides`` may name."""
_OVERRIDE_FIX = f"use names out of {', '.join(OVERRIDABLE)}"


def _unknown_override(name: str) -> str | None:
    return None if name in OVERRIDABLE else f"got {name!r}; {_OVERRIDE_FIX}"


Override = Annotated[
    str,
    Field(max_length=MAX_PATH),
    Keeps(Rule(f"self in {list(OVERRIDABLE)}", "", _OVERRIDE_FIX, _unknown_override)),
]
ImagePrefix = Annotated[str, Field(min_length=1, max_length=512)]
Listed = Annotated[list[ObjectName], Field(max_length=MAX_LISTED)]


class RuntimeBounds(ApiModel):
    """How far a job may go. A job beyond one is not accepted, and told which. Left out = no bound."""

    overrides: Annotated[list[Override], Field(max_length=MAX_LISTED)] | None = Field(
        default=None,
        description="Names of the fields among defaults that a job may set itself, such as image or "
        "resources.memory; [] = none of them. Default: all.",
    )
    images: Annotated[list[ImagePrefix], Field(max_length=MAX_LISTED)] | None = Field(
        default=None,
        description="Where the images that a job names must come from, such as registry.example.com/ml, for "
        "the trainer and the containers of its podTemplate; [] = a job may name none. Whole parts of a "
        "path are compared. Default: anywhere.",
    )
    max_nodes: int | None = Field(default=None, ge=1, le=4096, description="Most pods of a gang.")
    max_gpus: int | None = Field(
        default=None,
        ge=0,
        le=4096 * 64,
        description="Most GPUs of a gang. A job then gets devices by gpusPerNode alone, but for the RDMA "
        "devices that the runtime names.",
    )
    max_gpu_hours: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Most of limits.gpuHours, and its value in jobs that leave it out.",
    )
    max_run_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SECONDS,
        description="Most of activeDeadlineSeconds, and its value in jobs that leave it out.",
    )
    priority_classes: Listed | None = Field(
        default=None, description="PriorityClasses that a job may name; [] = none. Default: any."
    )
    service_accounts: Listed | None = Field(
        default=None, description="ServiceAccounts that a job may name; [] = none. Default: any."
    )
    secrets: Listed | None = Field(
        default=None,
        description="Secrets that a job may name, in model, dataset, output, telemetry, imagePullSecrets and "
        "its podTemplate; [] = none. Default: any of its namespace.",
    )
    claims: Listed | None = Field(
        default=None,
        description="Claims that a job may name, for its model, data, output and cache, in checkpoint.from "
        "and in its podTemplate; [] = none. Default: any of its namespace.",
    )


Namespace = Annotated[str, Field(min_length=1, max_length=MAX_NAMESPACE)]


class RuntimeSpec(ApiModel):
    """What jobs that name this runtime get, and how far they may go."""

    description: str = Field(
        default="", max_length=1024, description="For whom and for what it is, for people who choose one."
    )
    namespaces: list[Namespace] = Field(
        default_factory=list,
        max_length=1024,
        description="Namespaces whose jobs may name a ClusterLLMTrainingRuntime; empty = all.",
    )
    defaults: RuntimeDefaults = Field(
        default_factory=RuntimeDefaults, description="What jobs get that leave a field out."
    )
    bounds: RuntimeBounds = Field(default_factory=RuntimeBounds, description="How far a job may go.")


def defaults_of(spec: dict[str, Any]) -> dict[str, Any]:
    """``defaults`` of a runtime as it was written: what is left out is not there."""
    found: dict[str, Any] = spec.get("defaults") or {}
    return found
