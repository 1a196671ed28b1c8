"""Rules over ``spec.evaluation.tasks``: which models the lm-evaluation-harness opens as they are exported."""

from __future__ import annotations

from ..families import task_of
from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task
from .cel import task_in
from .sized import Sized, SizedRule

ASKED = (Task.CAUSAL, Task.CHAT, Task.PREFERENCE, Task.REINFORCEMENT)
"""Tasks whose exports are models that write text after a text, as the harness asks them."""
WHOLE = "measures a whole model, and an adapter alone is exported; set output.merged true, or remove it"


def _writes(job: Sized) -> str | None:
    task = task_of(job.spec, job.shape)
    if job.spec.evaluation.tasks is None or task in ASKED:
        return None
    others = ", ".join(ASKED)
    return f"tasks are asked of a model that writes text ({others}), and this job's task is {task}; remove it"


def _whole(spec: JobSpec) -> str | None:
    alone = spec.model.adapter is not None and not spec.output.merged
    return f"evaluation.tasks {WHOLE}" if spec.evaluation.tasks is not None and alone else None


RULES: tuple[Rule, ...] = (
    SizedRule(
        f"!has(self.evaluation.tasks) || !has(self.task) || {task_in(ASKED)}",
        ".evaluation.tasks",
        f"tasks are asked of a model that writes text ({', '.join(ASKED)}); remove it",
        _writes,
    ),
    Rule(
        "!has(self.evaluation.tasks) || !has(self.model.adapter) || self.output.merged",
        ".evaluation.tasks",
        f"evaluation.tasks {WHOLE}",
        _whole,
    ),
)
