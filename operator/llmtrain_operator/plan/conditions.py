"""Conditions by the conventions of Kubernetes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from llmtrain_api import Condition, ConditionType, JobStatus, changed


def with_condition(
    status: JobStatus, kind: ConditionType, value: bool | None, reason: str, message: str, now: datetime
) -> JobStatus:
    """``status`` with that condition set; its transition time moves only when its value does.

    Args:
        status: as it was.
        kind: the condition's type.
        value: whether it holds; None = Unknown.
        reason: why, as one word for programs.
        message: why, for people.
        now: the current moment.
    """
    truth: Literal["True", "False", "Unknown"] = "Unknown" if value is None else "True" if value else "False"
    old = status.condition(kind)
    since = old.last_transition_time if old is not None and old.status == truth else now
    new = Condition(
        type=kind,
        status=truth,
        reason=reason,
        message=message[:8192],
        last_transition_time=since,
        observed_generation=status.observed_generation,
    )
    if old is None:
        return changed(status, conditions=[*status.conditions, new])
    return changed(status, conditions=[new if c.type == kind else c for c in status.conditions])
