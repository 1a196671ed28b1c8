"""Rules over ``spec.training.fairness``: which tasks and layouts the penalty on pairs of sentences is for."""

from __future__ import annotations

from ..families import task_of
from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task
from .cel import UNCUT
from .dataset import CAUSAL
from .parallelism import OWN_CEL
from .sized import Sized, SizedRule

WHY_NOT = {
    Task.MASKED: "a masked model gives a text no likelihood in one pass, but one pass for each of its tokens",
    Task.SEQ2SEQ: "a model that fills spans gives a text no likelihood",
    Task.CHAT: "it is proven for task causal alone",
    Task.PREFERENCE: "it is proven for task causal alone",
}
"""Why a task has no penalty; others learn no likelihood of text."""
NONE_LEARNT = "it learns no likelihood of text"
DATA_PARALLEL = (
    "the penalty needs the whole of both texts of a pair on one rank, and is proven equal to one process for "
    "data parallelism with ZeRO only; remove parallelism"
)
COMPILED = "compile with fairness: passes of pairs have other lengths, and each is compiled anew; use false"
NOTHING_TRAINED = "evaluation.only trains nothing; use evaluation.fairness, or remove it"


def _of_text(job: Sized) -> str | None:
    task = task_of(job.spec, job.shape)
    if job.spec.training.fairness is None or task is Task.CAUSAL:
        return None
    return (
        f"fairness is for task causal, and this job's is {task}: {WHY_NOT.get(task, NONE_LEARNT)}; remove it"
    )


def _whole_texts(spec: JobSpec) -> str | None:
    return DATA_PARALLEL if spec.training.fairness and spec.parallelism.ranks > 1 else None


def _not_compiled(spec: JobSpec) -> str | None:
    return COMPILED if spec.training.fairness and spec.training.compile else None


def _trains(spec: JobSpec) -> str | None:
    return NOTHING_TRAINED if spec.training.fairness and spec.evaluation.only else None


RULES: tuple[Rule, ...] = (
    SizedRule(
        "!has(self.training.fairness) || "
        f"(has(self.task) ? self.task == 'causal' : ({OWN_CEL} || self.model.name in {CAUSAL}))",
        ".training.fairness",
        "fairness is for task causal; remove it",
        _of_text,
    ),
    Rule(
        f"{UNCUT} || !has(self.training.fairness)",
        ".parallelism",
        DATA_PARALLEL,
        _whole_texts,
    ),
    Rule(
        "!has(self.training.fairness) || !self.training.compile",
        ".training.compile",
        COMPILED,
        _not_compiled,
    ),
    Rule(
        "!self.evaluation.only || !has(self.training.fairness)",
        ".training.fairness",
        NOTHING_TRAINED,
        _trains,
    ),
)
