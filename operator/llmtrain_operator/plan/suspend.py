"""``spec.suspend``: every rank saves, all pods go, and a new attempt goes on when the job may."""

from __future__ import annotations

from llmtrain_api import Charge, EndReason, JobStatus, Phase, Waiting, changed

from ..types import Plan, Pod
from .attempts import close_attempt, next_attempt, with_checkpoint
from .conditions import with_condition
from .evidence import Evidence
from .removal import OVERDUE_SECONDS, removals
from .restart import evidence
from .situation import Situation
from .status import derive

GO_ON = "set spec.suspend to false to go on"


def suspended(s: Situation) -> bool:
    """Whether a person wants the job to stand still, also where this operator cannot read the whole spec."""
    return s.job.spec.get("suspend") is True


def hold(s: Situation) -> Plan | None:
    """Nothing begins while the job is suspended, and the next attempt when it no longer is."""
    if s.attempt is None:
        if suspended(s):
            return _hold_before_gang(s)
        held = s.status.phase in (Phase.SUSPENDING, Phase.SUSPENDED)
        return Plan(_told(s, s.status, Phase.PENDING)) if held else None
    if s.status.phase is not Phase.SUSPENDED:
        return None
    if not suspended(s):
        return Plan(
            _told(s, next_attempt(s, s.status, phase=Phase.STARTING, reason="Resumed"), Phase.STARTING)
        )
    # of a pod of which nobody had heard when the last one went
    return _with_removals(s, _told(s, s.status, Phase.SUSPENDED))


def stop(s: Situation) -> Plan | None:
    """End the attempt of a job that is to be suspended.

    That goes on record before any pod is asked to go, so that no end of a rank is taken for a failure. What
    has failed before is a failure all the same, and is charged as one first. A stop that has begun is carried
    to its end: ranks that were asked to save do not train on.
    """
    if s.attempt is None:
        return None
    if s.this_attempt.stopping_at is None:
        return Plan(_stopping(s)) if suspended(s) and not evidence(s) else None
    found = evidence(s)
    if _left(s):
        return _with_removals(s, with_checkpoint(s, derive(s), found))
    return Plan(_stopped(s, found))


def _hold_before_gang(s: Situation) -> Plan:
    """What inspects or prepares ends: with the next edit of the spec it begins anew, on what was prepared."""
    setup = s.status.setup
    if setup is not None and setup.ended_at is None:
        setup = changed(setup, ended_at=s.now)
    status = changed(s.status, setup=setup, progress=None, failure=None)
    accepted = status.condition("Accepted")
    if accepted is not None and accepted.status == "False":
        status = with_condition(
            status, "Accepted", None, "Suspended", "it is looked at when it goes on", s.now
        )
    return _with_removals(s, _told(s, status, Phase.SUSPENDING if _left(s) else Phase.SUSPENDED))


def _stopping(s: Situation) -> JobStatus:
    status = derive(s)
    record = changed(status.attempts[-1], stopping_at=s.now)
    return _told(s, changed(status, attempts=[*status.attempts[:-1], record]), Phase.SUSPENDING)


def _stopped(s: Situation, found: list[Evidence]) -> JobStatus:
    closed = close_attempt(
        s, charged_to=Charge.NOBODY, message="suspended on request", reason=EndReason.SUSPENDED, found=found
    )
    closed = with_condition(closed, "Running", False, "Suspended", "", s.now)
    return _told(s, changed(closed, failure=None), Phase.SUSPENDED)


def _left(s: Situation) -> tuple[Pod, ...]:
    """Pods that are to go. What ran before the gang and has ended well stays, as its log may be wanted."""
    gang = (p for p in s.current.values() if p.stage is None or not p.terminal or p.others_run)
    return (*gang, *s.stale)


def _with_removals(s: Situation, status: JobStatus) -> Plan:
    """That status, and every pod asked to save and go."""
    left = _left(s)
    actions = tuple(removals(s, left, s.seen.settings.grace_seconds))
    return Plan(status, actions, requeue_after=OVERDUE_SECONDS if left else None)


def _told(s: Situation, status: JobStatus, phase: Phase) -> JobStatus:
    """The phase, condition ``Suspended`` and what is waited for."""
    step = status.checkpoint.step if status.checkpoint else None
    start = f"from step {step}" if step else "from the beginning"
    waits = {
        Phase.SUSPENDING: "every rank saves a checkpoint before its pod goes",
        Phase.SUSPENDED: f"{GO_ON} {start}",
    }
    text, old = waits.get(phase), status.waiting
    same = old is not None and old.reason == phase.value
    since = old.since if old is not None and same else s.now
    status = changed(
        status,
        phase=phase,
        waiting=Waiting(reason=phase.value, message=text, since=since) if text else None,
        observed_generation=s.job.metadata.generation,
    )
    if phase is Phase.SUSPENDED:
        return with_condition(status, "Suspended", True, "SuspendedOnRequest", text or "", s.now)
    reason = phase.value if phase is Phase.SUSPENDING else "Resumed"
    return with_condition(status, "Suspended", False, reason, text or "", s.now)
