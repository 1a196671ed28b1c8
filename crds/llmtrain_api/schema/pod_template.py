"""``spec.podTemplate``: what a job adds to its worker pods, in a pod's own words."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from .base import ApiModel, Rule
from .pod_checks import template_mistake
from .scheduling import Annotations, Keeps, Labels

ANY = WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
"""For the API server; CEL could not walk through a pod."""
PodSpecPart = Annotated[
    dict[str, Any],
    ANY,
    Keeps(Rule(None, "", "must be what a job may say of a pod", template_mistake)),
]


class PodTemplateMetadata(ApiModel):
    """What worker pods are called by, beside what the operator calls them."""

    labels: Labels = Field(default_factory=dict, description="Labels of the worker pods, as spec.labels.")
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations of the worker pods, as spec.annotations."
    )


class PodTemplate(ApiModel):
    """What is added to the worker pods."""

    metadata: PodTemplateMetadata = Field(
        default_factory=PodTemplateMetadata, description="Labels and annotations."
    )
    spec: PodSpecPart = Field(
        default_factory=dict,
        description="Parts of a pod's spec: volumes, containers (trainer: env, envFrom and volumeMounts; "
        "others are sidecars), initContainers, affinity, topologySpreadConstraints, runtimeClassName, "
        "schedulerName, hostAliases, dnsConfig, and of securityContext the groups.",
    )
