"""Rules over ``spec.entrypoint``: what a program of one's own leaves of the other sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..schema.base import ApiModel, Rule
from ..schema.checkpoint import CheckpointSpec
from ..schema.evaluation import EvaluationSpec
from ..schema.prepare import PrepareSpec
from ..schema.spec import JobSpec, ParallelismSpec
from ..schema.telemetry import TelemetrySpec
from ..schema.training import TrainingSpec
from .cel import UNCUT
from .sized import Sized

PROGRAMS = "the program of entrypoint decides that itself; remove it, or pass it in entrypoint.args"
TRAINERS = ("model", "dataset", "task")
"""Sections that the API server gives no default: who writes them says so."""
REQUIRED = "is required, unless entrypoint names a program of your own"
DECIDED_LATER = ("precision", "learning_rate")
"""Fields of ``training`` whose default other sections decide."""


def own_or(rule: Rule) -> Rule:
    """A rule over what is trained, which holds for no program of one's own."""
    broken = rule.broken

    def unless_own(asked: Any) -> str | None:
        spec: JobSpec = asked.spec if isinstance(asked, Sized) else asked
        return broken(asked) if spec.entrypoint is None else None

    asked = tuple(name for name in ("model", "dataset") if f"self.{name}" in (rule.cel or ""))
    return replace(rule, broken=unless_own, sections=asked)


def _required(name: str) -> Rule:
    def broken(spec: JobSpec) -> str | None:
        return REQUIRED if spec.entrypoint is None and name not in spec.model_fields_set else None

    return Rule(f"has(self.entrypoint) || has(self.{name})", f".{name}", REQUIRED, broken)


def _removed(name: str) -> Rule:
    def broken(spec: JobSpec) -> str | None:
        return PROGRAMS if spec.entrypoint is not None and name in spec.model_fields_set else None

    return Rule(f"!has(self.entrypoint) || !has(self.{name})", f".{name}", PROGRAMS, broken)


def _left_alone(name: str, usual: Callable[[], ApiModel], cel: str | None = None) -> Rule:
    """A section whose defaults the API server fills in: it is as it is when nobody writes it."""

    def broken(spec: JobSpec) -> str | None:
        section, default = getattr(spec, name), usual()
        if spec.entrypoint is None:
            return None
        differ = [
            field
            for field in type(section).model_fields
            if getattr(section, field) != getattr(default, field)
            and not (field in DECIDED_LATER and field not in section.model_fields_set)
        ]
        return PROGRAMS if differ else None

    return Rule(cel, f".{name}", PROGRAMS, broken)


def _output(spec: JobSpec) -> str | None:
    if spec.entrypoint is None or not spec.output.in_object_store:
        return None
    return (
        f"got {spec.output.uri!r}, and the program of entrypoint writes to a folder; use pvc://CLAIM/FOLDER, "
        "and have the program itself write to the bucket"
    )


def _merged(spec: JobSpec) -> str | None:
    return PROGRAMS if spec.entrypoint is not None and not spec.output.merged else None


def _published(spec: JobSpec) -> str | None:
    return PROGRAMS if spec.entrypoint is not None and spec.output.publish else None


def left_out(spec: object) -> list[str]:
    """A sentence about each section that is not there and must be, of a spec that cannot be read as one."""
    if not isinstance(spec, dict) or spec.get("entrypoint") is not None:
        return []
    return [f"spec{rule.field}: {REQUIRED}" for rule in REQUIRES if spec.get(rule.field[1:]) is None]


REQUIRES: tuple[Rule, ...] = (_required("model"), _required("dataset"))
RULES: tuple[Rule, ...] = (
    *(_removed(name) for name in TRAINERS),
    _left_alone(
        "parallelism",
        ParallelismSpec,
        f"!has(self.entrypoint) || {UNCUT}",
    ),
    _left_alone("training", TrainingSpec),
    _left_alone("checkpoint", CheckpointSpec),
    _left_alone("evaluation", EvaluationSpec),
    _left_alone("prepare", PrepareSpec),
    _left_alone(
        "telemetry",
        TelemetrySpec,
        "!has(self.entrypoint) || !has(self.telemetry) || !has(self.telemetry.trackers) || "
        "self.telemetry.trackers.size() == 0",
    ),
    Rule("!has(self.entrypoint) || self.output.merged", ".output.merged", PROGRAMS, _merged),
    Rule("!has(self.entrypoint) || !has(self.output.publish)", ".output.publish", PROGRAMS, _published),
    Rule(
        "!has(self.entrypoint) || !self.output.uri.startsWith('s3://')",
        ".output.uri",
        "the program of entrypoint writes to a folder; use pvc://CLAIM/FOLDER",
        _output,
    ),
)
