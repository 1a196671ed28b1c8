"""Runtimes that must be refused, each with the field that the message begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BadRuntime:
    """``by_server``: whether the API server refuses it too, or the operator is the first to see it."""

    spec: dict[str, Any]
    field: str
    by_server: bool = True


BAD_RUNTIMES: dict[str, BadRuntime] = {
    "an unknown field": BadRuntime({"bounds": {"maxNode": 2}}, "spec.bounds.maxNode"),
    "an override that is none": BadRuntime({"bounds": {"overrides": ["training"]}}, "spec.bounds.overrides"),
    "a default that jobs must say": BadRuntime({"defaults": {"nodes": 4}}, "spec.defaults.nodes"),
    "a negative bound": BadRuntime({"bounds": {"maxGpus": -1}}, "spec.bounds.maxGpus"),
    "a bound of no GPU-hours": BadRuntime({"bounds": {"maxGpuHours": 0}}, "spec.bounds.maxGpuHours"),
    "an empty prefix of images": BadRuntime({"bounds": {"images": [""]}}, "spec.bounds.images[0]"),
    "a topology without a label": BadRuntime({"defaults": {"topology": {}}}, "spec.defaults.topology.label"),
    "a label that is none": BadRuntime(
        {"defaults": {"topology": {"label": "not a label"}}}, "spec.defaults.topology.label"
    ),
    "a priority class that is no name": BadRuntime(
        {"bounds": {"priorityClasses": ["High"]}}, "spec.bounds.priorityClasses[0]"
    ),
    "a label of the operator's": BadRuntime(
        {"defaults": {"labels": {"llmtrain.dev/job": "x"}}}, "spec.defaults.labels"
    ),
    "a part of a pod that jobs may not say": BadRuntime(
        {"defaults": {"podTemplate": {"spec": {"hostPID": True}}}},
        "spec.defaults.podTemplate.spec",
        by_server=False,
    ),
    "more than a copy can hold": BadRuntime(
        {"defaults": {"podTemplate": {"spec": {"x": "y" * 70_000}}}}, "spec", by_server=False
    ),
}
