"""The runtime of a job: waited for before the first attempt, and taken anew when the job is run again."""

from __future__ import annotations

from llmtrain_api import Phase, RuntimeOnRecord, Waiting, changed

from ..types import Plan
from .begin import nothing_runs, setup_ended
from .conditions import with_condition
from .situation import Situation, out_of_bounds, read_spec
from .suspend import suspended

SOON_SECONDS = 0.5
OUT_OF_BOUNDS = "OutOfBounds"


def await_runtime(s: Situation) -> Plan | None:
    """Nothing begins without the runtime that the job asks for: what has begun under a former one goes."""
    runtime = s.seen.runtime
    if s.attempt is not None or runtime is None or runtime.found is not None or suspended(s):
        return None
    if not runtime.known:
        # the first list of them is not in yet
        return Plan(s.status, requeue_after=SOON_SECONDS)
    status = changed(
        setup_ended(s, s.status),
        phase=Phase.PENDING,
        observed_generation=s.job.metadata.generation,
        waiting=_waiting(s, runtime.reason, runtime.message),
        failure=None,
        progress=None,
        resolved=None,
        runtime=None,
    )
    return nothing_runs(s, with_condition(status, "Accepted", None, runtime.reason, runtime.message, s.now))


def _waiting(s: Situation, reason: str, message: str) -> Waiting:
    old = s.status.waiting
    same = old is not None and old.reason == reason
    return Waiting(reason=reason, message=message[:4096], since=old.since if old and same else s.now)


def renewed(s: Situation) -> tuple[RuntimeOnRecord | None, Waiting | None]:
    """The runtime as it is now for a job that is started again, or what keeps it from being started."""
    now = s.seen.runtime
    if now is None:
        return None, None
    if now.found is None:
        return None, _waiting(s, now.reason, now.message)
    spec, mistakes = read_spec(s.job, s.seen.settings.file_outputs, now.found)
    wrong = (*mistakes, *(out_of_bounds(s.job, spec, now.found) if spec is not None else ()))
    if wrong:
        return None, _waiting(s, OUT_OF_BOUNDS, f"it is not run again: {'; '.join(wrong)}")
    return now.found, None
