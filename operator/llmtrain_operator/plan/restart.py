"""A rank failed: find out why, decide whether to start again, put it on record in one write."""

from __future__ import annotations

from datetime import timedelta

from llmtrain_api import Attempt, Failure, FailureClass, JobStatus, Phase, Restarts, changed
from llmtrain_api.schema.status import MAX_ATTEMPTS

from ..manifests.names import pod_name
from ..types import Plan
from .conditions import with_condition
from .evidence import Evidence, of_missing, of_pod
from .finish import close_attempt, fail
from .root_cause import as_failure, root_cause
from .situation import Situation
from .status import derive

DEFAULT_MAX_RESTARTS = 3
DEFAULT_MAX_INFRASTRUCTURE = 50
FINAL = frozenset({FailureClass.CONFIG_ERROR, FailureClass.DIVERGED})
"""Failures that another attempt would only repeat: manifest, samples and arithmetic are the same."""


def recover(s: Situation) -> Plan | None:
    """The next attempt or the end, once the evidence is in."""
    found = evidence(s)
    if not found:
        return None
    wait = seconds_to_settle(s, found)
    if wait > 0:
        return Plan(derive(s), requeue_after=wait)
    failure = as_failure(root_cause(found), s.now)
    steps = [e.checkpoint_step for e in found if e.checkpoint_step is not None]
    resumed = [e.resumed_step for e in found if e.resumed_step is not None]
    closed = close_attempt(
        s,
        failure=failure,
        checkpoint_step=max(steps, default=None),
        resumed_step=max(resumed, default=None),
    )
    reason = exhausted(s, closed, failure)
    if reason is not None:
        hint = "; ".join(part for part in (reason, failure.hint) if part)
        return fail(s, changed(failure, hint=hint))
    return Plan(next_attempt(s, closed, failure))


def evidence(s: Situation) -> list[Evidence]:
    """What each rank that is not coming back says. A rank without a pod counts once its pod has existed."""
    found: list[Evidence] = []
    for rank in range(s.nodes):
        pod = s.current.get(rank)
        if pod is not None:
            said = of_pod(pod)
            if said is not None:
                found.append(said)
        elif s.this_attempt.created_at is not None or rank in s.seen.lost:
            found.append(of_missing(rank, pod_name(s.job.metadata.name, s.this_attempt.number, rank)))
    return found


def seconds_to_settle(s: Situation, found: list[Evidence]) -> float:
    """How much longer to collect evidence: until every rank has ended, a few seconds after the first end,
    or a deleted pod's grace time. Nothing is known about when a missing pod went, so it is not waited on."""
    if all(p.terminal for p in s.current.values()) or len(s.current) < s.nodes:
        return 0.0
    limit = timedelta(seconds=s.seen.settings.evidence_seconds)
    deadlines = [e.at + limit for e in found if e.at is not None]
    deadlines += [p.deletion_deadline for p in s.current.values() if p.deletion_deadline is not None]
    if not deadlines:
        return 0.0
    return (min(deadlines) - s.now).total_seconds()


def exhausted(s: Situation, closed: JobStatus, failure: Failure) -> str | None:
    """Why there is no further attempt; None when there is one.

    Infrastructure has a budget of its own. All else counts as application failures in a row without a newer
    checkpoint: progress refills it.
    """
    if failure.failure_class in FINAL:
        return "starting again would not help"
    recovery = s.spec.recovery if s.spec else None
    restarts = closed.restarts or Restarts()
    if failure.failure_class is FailureClass.INFRASTRUCTURE:
        limit = recovery.max_infrastructure_restarts if recovery else DEFAULT_MAX_INFRASTRUCTURE
        if restarts.infrastructure >= limit:
            return f"gave up after {limit} infrastructure restarts (recovery.maxInfrastructureRestarts)"
        return None
    limit = recovery.max_restarts if recovery else DEFAULT_MAX_RESTARTS
    if failures_without_advance(closed.attempts) > limit:
        return f"gave up after {limit} restarts without a newer checkpoint (recovery.maxRestarts)"
    return None


def failures_without_advance(attempts: list[Attempt]) -> int:
    """Application failures since the newest checkpoint was first there, this one included."""
    newest = attempts[-1].checkpoint_step or 0
    count = 0
    for attempt in reversed(attempts):
        if attempt.failure_class is FailureClass.INFRASTRUCTURE:
            continue
        if (attempt.checkpoint_step or 0) < newest:
            break
        count += 1
    return count


def next_attempt(s: Situation, closed: JobStatus, failure: Failure) -> JobStatus:
    """The record of failure, count and new attempt number: one write, before any pod goes or comes."""
    number = s.this_attempt.number + 1
    old = closed.restarts or Restarts()
    infrastructure = failure.failure_class is FailureClass.INFRASTRUCTURE
    status = changed(
        closed,
        phase=Phase.RESTARTING,
        attempt=number,
        attempts=[*closed.attempts, Attempt(number=number, started_at=s.now)][-MAX_ATTEMPTS:],
        failure=failure,
        waiting=None,
        restarts=Restarts(
            total=old.total + 1,
            application=old.application + (not infrastructure),
            infrastructure=old.infrastructure + infrastructure,
        ),
    )
    return with_condition(
        status, "Running", False, "Restarting", f"attempt {number}: {failure.message}"[:4096], s.now
    )
