"""Rules over ``spec.model.adapter`` and what else it depends on."""

from __future__ import annotations

from ..estimate.adapters import targeted
from ..families import FAMILIES
from ..schema.adapter import ALL_LINEAR
from ..schema.base import Rule
from ..schema.spec import JobSpec
from .sized import Sized, SizedRule

REASONS = {
    "tensor": "DeepSpeed's AutoTP cuts plain linear layers, not those that adapters stand beside",
    "pipeline": "a pipeline's stages are made of plain layers without adapters",
}
"""Ways to cut a model with adapters that are refused, and why."""


def _targets(job: Sized) -> str | None:
    adapter, shape = job.spec.model.adapter, job.shape
    if adapter is None:
        return None
    known = sorted({one.name.rpartition(".")[2] for one in FAMILIES[shape.architecture].linears(shape)})
    for target in adapter.targets:
        if not targeted(shape, [target]):
            name, names = job.spec.model.name, ", ".join(known)
            return f"{name} has no linear layer {target!r}; use {ALL_LINEAR}, or {names}"
    return None


def _rank(job: Sized) -> str | None:
    adapter = job.spec.model.adapter
    if adapter is None:
        return None
    found = targeted(job.shape, adapter.targets)
    least = min(found, key=lambda one: min(one.inputs, one.outputs))
    if adapter.rank <= min(least.inputs, least.outputs):
        return None
    return (
        f"rank {adapter.rank} is more than {least.name} has, which is {least.outputs} x {least.inputs}; "
        f"use at most {min(least.inputs, least.outputs)}"
    )


def _cut(spec: JobSpec) -> str | None:
    if spec.model.adapter is None:
        return None
    for way, reason in REASONS.items():
        if (ranks := getattr(spec.parallelism, way)) > 1:
            return f"{way} {ranks} with model.adapter: {reason}; use {way} 1"
    return None


def _merged(spec: JobSpec) -> str | None:
    if spec.output.merged or spec.model.adapter is not None:
        return None
    return "merged false is for jobs with model.adapter, as there is nothing else to export; remove it"


RULES: tuple[Rule, ...] = (
    SizedRule(None, ".model.adapter.targets", "targets must name linear layers of the model", _targets),
    SizedRule(None, ".model.adapter.rank", "rank must not be more than a targeted matrix has", _rank),
    Rule(
        "!has(self.model.adapter) || (self.parallelism.tensor == 1 && self.parallelism.pipeline == 1)",
        ".parallelism",
        "with model.adapter use tensor 1 and pipeline 1: adapters are trained by data parallelism with ZeRO",
        _cut,
    ),
    Rule(
        "self.output.merged || has(self.model.adapter)",
        ".output.merged",
        "merged false is for jobs with model.adapter; remove it",
        _merged,
    ),
)
