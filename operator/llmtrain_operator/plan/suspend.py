"""``spec.suspend``: a job that stands still without pods, and goes on as a new attempt when it may."""

from __future__ import annotations

from llmtrain_api import JobStatus, Phase, Waiting, changed

from ..types import Plan, Pod
from .attempts import next_attempt
from .conditions import with_condition
from .removal import asked_to_go
from .situation import Situation

GO_ON = "set spec.suspend to false to go on"
SAVING = "every rank saves a checkpoint before its pod goes"


def suspended(s: Situation) -> bool:
    """Whether a person wants the job to stand still, also where this operator cannot read the whole spec."""
    return s.job.spec.get("suspend") is True


def hold(s: Situation) -> Plan | None:
    """Nothing begins while the job is suspended, and the next attempt when it no longer is."""
    if s.attempt is None:
        if suspended(s):
            return _hold_before_gang(s)
        held = s.status.phase in (Phase.SUSPENDING, Phase.SUSPENDED)
        return Plan(told(s, s.status, Phase.PENDING)) if held else None
    if s.status.phase is not Phase.SUSPENDED:
        return None
    if not suspended(s):
        following = next_attempt(s, s.status, phase=Phase.QUEUED, reason="Resumed")
        return Plan(told(s, following, Phase.QUEUED))
    # of a pod of which nobody had heard when the last one went
    return asked_to_go(s, told(s, s.status, Phase.SUSPENDED), (*s.current.values(), *s.stale))


def _hold_before_gang(s: Situation) -> Plan:
    """What inspects or prepares ends: with the next edit of the spec it begins anew, on what was prepared."""
    setup = s.status.setup
    if setup is not None and setup.ended_at is None:
        setup = changed(setup, ended_at=s.now)
    status = changed(s.status, setup=setup, progress=None, failure=None)
    if status.refusal is not None:
        status = with_condition(
            status, "Accepted", None, "Suspended", "it is looked at when it goes on", s.now
        )
    left = _at_work(s)
    return asked_to_go(s, told(s, status, Phase.SUSPENDING if left else Phase.SUSPENDED), left)


def _at_work(s: Situation) -> tuple[Pod, ...]:
    """Pods before the gang that are to go. What has ended well stays, as its log may be wanted."""
    return (*(p for p in s.current.values() if not p.terminal or p.others_run), *s.stale)


def told(s: Situation, status: JobStatus, phase: Phase) -> JobStatus:
    """The status with that phase, condition ``Suspended`` and what is waited for."""
    step = status.checkpoint.step if status.checkpoint else None
    start = f"from step {step}" if step else "from the beginning"
    text = {Phase.SUSPENDING: SAVING, Phase.SUSPENDED: f"{GO_ON} {start}"}.get(phase)
    old = status.waiting
    since = old.since if old is not None and old.reason == phase.value else s.now
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
