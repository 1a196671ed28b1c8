"""What a job that neither begins nor ends says of itself: phase, workers, progress, lost reports."""

from __future__ import annotations

from datetime import datetime

from llmtrain_api import Attempt, Checkpoint, JobStatus, Phase, changed, to_rfc3339

from ..types import LastReport, Plan, PodPhase
from .conditions import with_condition
from .progress import progress_due, progress_of, seconds_to_next_progress
from .runtime_note import seconds_to_runtime, with_runtime_note
from .situation import Situation
from .start_deadline import seconds_to_deadline
from .straggler import with_straggler
from .usage import with_usage
from .waiting import seconds_to_word, waiting
from .workers import workers

REPORTING_LOST_SECONDS = 300.0
"""Reports come every few seconds; after so long without one they are lost."""


def observe(s: Situation) -> Plan:
    """The last policy: nothing to do but to tell."""
    status = derive(s)
    timers = [
        seconds_to_next_progress(s),
        _seconds_to_silence(s),
        seconds_to_deadline(s),
        seconds_to_word(status),
        seconds_to_runtime(s),
    ]
    return Plan(status, requeue_after=min((t for t in timers if t is not None), default=None))


def derive(s: Situation) -> JobStatus:
    """The status on record, brought up to what is seen."""
    running = sum(p.phase is PodPhase.RUNNING for p in s.current.values())
    ready = sum(p.phase is PodPhase.RUNNING and p.ready for p in s.current.values())
    done = sum(p.phase is PodPhase.SUCCEEDED for p in s.current.values())
    report = s.seen.report
    status = changed(
        s.status,
        workers=workers(s, ready),
        waiting=waiting(s),
        checkpoint=newest_checkpoint(s.status.checkpoint, report),
        checkpoints=(report.report.checkpoints if report else None) or s.status.checkpoints,
        observed_generation=s.job.metadata.generation,
    )
    due = report is not None and progress_due(s, report)
    if report is not None and due:
        status = changed(status, progress=progress_of(report))
    up = s.this_attempt.created_at is not None and running + done == s.nodes
    status = changed(status, attempts=_noted(s, report, up))
    if due:
        status = with_usage(s, status)
    if up and status.phase is not Phase.RUNNING and s.this_attempt.stopping_at is None:
        status = changed(status, phase=Phase.RUNNING, failure=None)
        status = with_condition(
            status, "Running", True, "GangUp", f"all {s.nodes} pods of attempt {s.attempt} run", s.now
        )
    return with_runtime_note(s, with_straggler(s, _with_reporting(s, status)))


def _with_reporting(s: Situation, status: JobStatus) -> JobStatus:
    """Condition ``ReportingLost``: an attempt that has reported has fallen silent. It is told, and nothing is
    done about it: the trainer itself ends a rank that hangs."""
    last = _last_report_at(s)
    known = s.status.condition("ReportingLost")
    if last is None or status.phase is not Phase.RUNNING:
        return status
    if (s.now - last).total_seconds() >= REPORTING_LOST_SECONDS:
        url = s.seen.settings.report_url or "the operator"
        text = (
            f"no progress report of attempt {s.attempt} since {to_rfc3339(last)}: the figures shown "
            f"are old, the job may well run on; check that its pods reach {url} (NetworkPolicy, DNS, its CA)"
        )
        return with_condition(status, "ReportingLost", True, "NoReports", text, s.now)
    if known is not None and known.status == "True":
        return with_condition(status, "ReportingLost", False, "Reporting", "", s.now)
    return status


def _last_report_at(s: Situation) -> datetime | None:
    """When this attempt last reported, or could have; None for one that has never reported."""
    if s.this_attempt.running_at is None:
        return None
    if s.seen.report is not None:
        return s.seen.report.received
    reported_at = s.status.progress.updated_at if s.status.progress else None
    if reported_at is None or reported_at < s.this_attempt.started_at or s.seen.watched_since is None:
        return None
    return max(reported_at, s.seen.watched_since)


def _seconds_to_silence(s: Situation) -> float | None:
    """When an attempt that says nothing more counts as silent."""
    last = _last_report_at(s)
    if last is None:
        return None
    left = REPORTING_LOST_SECONDS - (s.now - last).total_seconds()
    return min(left, REPORTING_LOST_SECONDS) + 1.0 if left > 0 else None


def _noted(s: Situation, report: LastReport | None, up: bool) -> list[Attempt]:
    """The current attempt's record with what is known by now."""
    attempt = s.this_attempt
    changes: dict[str, object] = {}
    if up and attempt.running_at is None:
        changes["running_at"] = s.now
    if report is not None and attempt.resumed_step is None and report.report.resumed_step is not None:
        changes["resumed_step"] = report.report.resumed_step
        changes["resumed_note"] = report.report.resumed_note
    return [*s.status.attempts[:-1], changed(attempt, **changes)]


def newest_checkpoint(old: Checkpoint | None, report: LastReport | None) -> Checkpoint | None:
    """A committed step never goes back."""
    step = report.report.checkpoint_step if report else None
    if report is None or step is None or (old is not None and old.step >= step):
        return old
    return Checkpoint(step=step, time=report.received)
