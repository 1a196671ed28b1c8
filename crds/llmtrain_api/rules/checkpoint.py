"""Rules over ``spec.checkpoint`` and what else it depends on."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.checkpoint import NO_STORE
from ..schema.spec import JobSpec

APART = "a job that goes on from another output needs a folder of its own, beside that one"


def overlap(one: str, other: str) -> bool:
    """Whether one of two folders is, or lies in, the other."""
    a, b = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return a.startswith(b) or b.startswith(a)


def _in_a_folder(spec: JobSpec) -> str | None:
    if spec.checkpoint.source is None or not spec.output.in_object_store:
        return None
    return f"got output.uri {spec.output.uri!r}: {NO_STORE}, also for output.uri"


def _apart(spec: JobSpec) -> str | None:
    source = spec.checkpoint.source
    if source is None or source.output is None or not overlap(source.output, spec.output.uri):
        return None
    return (
        f"got {source.output!r} with output.uri {spec.output.uri!r}; {APART}, or output.ifExists: resume to "
        "go on in it"
    )


def _before_the_end(spec: JobSpec) -> str | None:
    source, last = spec.checkpoint.source, spec.training.max_steps
    if source is None or source.step is None or last is None or source.step < last:
        return None
    return f"got {source.step}, and training.maxSteps is {last}; raise maxSteps, or name an earlier step"


def _judged(spec: JobSpec) -> str | None:
    if not spec.checkpoint.keep_best or spec.evaluation.every_steps:
        return None
    return "keepBest with evaluation.everySteps 0 would never act; set evaluation.everySteps"


_OWN, _OTHER = (
    f"({name}.endsWith('/') ? {name} : {name} + '/')"
    for name in ("self.output.uri", "self.checkpoint.from.output")
)
RULES: tuple[Rule, ...] = (
    Rule(
        "!has(self.checkpoint.from) || !self.output.uri.startsWith('s3://')",
        ".checkpoint.from",
        "a step is copied from folder to folder; use pvc://CLAIM/FOLDER as output.uri",
        _in_a_folder,
    ),
    Rule(
        "!has(self.checkpoint.from) || !has(self.checkpoint.from.output) || "
        f"(!{_OWN}.startsWith({_OTHER}) && !{_OTHER}.startsWith({_OWN}))",
        ".checkpoint.from.output",
        f"{APART}, or output.ifExists: resume to go on in it",
        _apart,
    ),
    Rule(
        "!has(self.checkpoint.from) || !has(self.checkpoint.from.step) || !has(self.training.maxSteps) || "
        "self.checkpoint.from.step < self.training.maxSteps",
        ".checkpoint.from.step",
        "the step must be before training.maxSteps; raise maxSteps, or name an earlier step",
        _before_the_end,
    ),
    Rule(
        "!self.checkpoint.keepBest || self.evaluation.everySteps > 0",
        ".checkpoint.keepBest",
        "keepBest goes by evaluations; set evaluation.everySteps above 0",
        _judged,
    ),
)
