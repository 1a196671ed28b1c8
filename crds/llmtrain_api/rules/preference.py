"""Rules of tasks on pairs of answers: which layouts are proven for pairs, and what may stand beside them."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..schema.training import Packing
from .cel import UNCUT, task_in

_PREFERENCE = "has(self.task) && self.task == 'preference'"
_PAIRS = task_in(task for task in Task if task.on_pairs)


def _for_nothing(spec: JobSpec) -> str | None:
    if spec.task is Task.PREFERENCE or spec.training.preference is None:
        return None
    return "preference is the loss of task preference; set task: preference, or remove it"


def _whole_models(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.on_pairs or spec.parallelism.ranks == 1:
        return None
    needs = (
        "loss kto needs the whole of an answer"
        if spec.judges_answers
        else f"task {spec.task} needs the whole of both answers of a pair"
    )
    return (
        f"{needs} on one rank, and is proven equal to one process for data parallelism with ZeRO only; "
        "remove parallelism"
    )


def _not_packed(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.on_pairs or spec.training.packing is Packing.CONCAT:
        return None
    return "packing is for documents, and pairs of answers are never packed; remove it"


def _not_compiled(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.on_pairs or not spec.training.compile:
        return None
    return f"compile with task {spec.task}: passes have many lengths, and each is compiled anew; use false"


RULES: tuple[Rule, ...] = (
    Rule(
        f"({_PREFERENCE}) || !has(self.training.preference)",
        ".training.preference",
        "preference is the loss of task preference; set task: preference, or remove it",
        _for_nothing,
    ),
    Rule(
        f"!{_PAIRS} || {UNCUT}",
        ".parallelism",
        "tasks on pairs of answers are proven for data parallelism with ZeRO only; remove parallelism",
        _whole_models,
    ),
    Rule(
        f"!{_PAIRS} || self.training.packing == 'concat'",
        ".training.packing",
        "packing is for documents, and pairs of answers are never packed; remove it",
        _not_packed,
    ),
    Rule(
        f"!{_PAIRS} || !self.training.compile",
        ".training.compile",
        "compile with pairs of answers: passes have many lengths, and each is compiled anew; set it to false",
        _not_compiled,
    ),
)
