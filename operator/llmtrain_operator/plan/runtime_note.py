"""Condition ``RuntimeChanged``: what a platform team says now is not what the job began with."""

from __future__ import annotations

from llmtrain_api import JobStatus

from .conditions import with_condition
from .situation import Situation

UNKNOWN_SECONDS = 5.0


def seconds_to_runtime(s: Situation) -> float | None:
    """When to look again at a job whose runtime nobody has listed yet: nothing wakes it if that is gone."""
    now = s.seen.runtime
    waits = s.status.runtime is not None and now is not None and not now.known
    return UNKNOWN_SECONDS if waits else None


def with_runtime_note(s: Situation, status: JobStatus) -> JobStatus:
    """Condition ``RuntimeChanged``: the runtime is not any more what the job began with, and goes on with."""
    kept, now = status.runtime, s.seen.runtime
    if kept is None or now is None or not now.known:
        return status
    old = status.condition("RuntimeChanged")
    if now.found is not None and now.found.digest == kept.digest and now.found.kind == kept.kind:
        if old is None or old.status != "True":
            return status
        return with_condition(status, "RuntimeChanged", False, "AsBefore", "", s.now)
    if now.found is None:
        reason, what = "Gone", f"{kept.title} may be used no more: {now.message}"
    else:
        reason, what = "Changed", f"{now.found.title} is not what the job began with"
    text = f"{what}; the job goes on as it began, and a rerun or another job takes it as it is then"
    return with_condition(status, "RuntimeChanged", True, reason, text[:4096], s.now)
