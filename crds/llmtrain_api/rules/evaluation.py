"""Rules over ``spec.evaluation.only``: what a job that trains nothing leaves of the other sections."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task

OTHERS = [str(task) for task in Task if task.on_pairs or task.headed or task is Task.REINFORCEMENT]
NEW = "has random weights, and evaluation.only measures a model as it is; name one that exists"
ADAPTERS = "new adapters change nothing that evaluation.only could measure; remove model.adapter"
OTHER_TASK = "is not measured by evaluation.only, whose tasks are causal, chat, masked, seq2seq and text2text"
ONE_PROCESS = (
    "evaluation.only is computed by one process; use nodes 1, processesPerNode 1 and at most one GPU"
)
NO_STEP = "evaluation.only has no steps to go on from; name the exported folder as model.name"
NO_PAGE = "it is written beside an export, and evaluation.only has none; remove it, or use llmtrain attribute"
NO_EXPORT = "evaluation.only exports nothing that could be published; remove output.publish"
NO_CURVES = "evaluation.only has no curves that a tracker could show; remove telemetry.trackers"


def _has_weights(spec: JobSpec) -> str | None:
    if not spec.evaluation.only or spec.model.pretrained:
        return None
    return f"{spec.model.name}{'' if spec.model.builtin else ' with weights random'} {NEW}"


def _no_adapter(spec: JobSpec) -> str | None:
    return ADAPTERS if spec.evaluation.only and spec.model.adapter else None


def _writes(spec: JobSpec) -> str | None:
    if not spec.evaluation.only or spec.task not in OTHERS:
        return None
    return f"{spec.task} {OTHER_TASK}"


def _one_process(spec: JobSpec) -> str | None:
    if not spec.evaluation.only or spec.world_size == 1:
        return None
    return f"got {spec.world_size} processes; {ONE_PROCESS}"


def _no_step(spec: JobSpec) -> str | None:
    return NO_STEP if spec.evaluation.only and spec.checkpoint.source else None


def _no_page(spec: JobSpec) -> str | None:
    return NO_PAGE if spec.evaluation.only and spec.evaluation.explain else None


def _no_export(spec: JobSpec) -> str | None:
    return NO_EXPORT if spec.evaluation.only and spec.output.publish else None


def _no_curves(spec: JobSpec) -> str | None:
    return NO_CURVES if spec.evaluation.only and spec.telemetry.trackers else None


RULES: tuple[Rule, ...] = (
    Rule(
        "!self.evaluation.only || (!self.model.name.startsWith('builtin://') && "
        "(!has(self.model.weights) || self.model.weights != 'random'))",
        ".model.name",
        NEW,
        _has_weights,
    ),
    Rule("!self.evaluation.only || !has(self.model.adapter)", ".model.adapter", ADAPTERS, _no_adapter),
    Rule(
        f"!self.evaluation.only || !has(self.task) || !(self.task in {OTHERS})",
        ".task",
        OTHER_TASK,
        _writes,
    ),
    Rule(
        "!self.evaluation.only || (self.nodes == 1 && self.gpusPerNode <= 1 && "
        "(self.gpusPerNode == 1 || self.processesPerNode == 1))",
        ".nodes",
        ONE_PROCESS,
        _one_process,
    ),
    Rule("!self.evaluation.only || !has(self.checkpoint.from)", ".checkpoint.from", NO_STEP, _no_step),
    Rule("!self.evaluation.only || !has(self.output.publish)", ".output.publish", NO_EXPORT, _no_export),
    Rule("!self.evaluation.only || !has(self.evaluation.explain)", ".evaluation.explain", NO_PAGE, _no_page),
    Rule(
        "!self.evaluation.only || !has(self.telemetry) || !has(self.telemetry.trackers) || "
        "self.telemetry.trackers.size() == 0",
        ".telemetry.trackers",
        NO_CURVES,
        _no_curves,
    ),
)
