"""What a job that neither begins nor ends says of itself: phase, workers, progress, why it waits."""

from __future__ import annotations

from datetime import datetime, timedelta

from llmtrain_api import Attempt, Checkpoint, Figures, JobStatus, Phase, Progress, Waiting, Workers, changed

from ..types import LastReport, Plan, PodPhase
from .conditions import with_condition
from .situation import Situation


def observe(s: Situation) -> Plan:
    """The last policy: nothing to do but to tell."""
    return Plan(derive(s), requeue_after=seconds_to_next_progress(s))


def derive(s: Situation) -> JobStatus:
    """The status on record, brought up to what is seen."""
    running = sum(p.phase is PodPhase.RUNNING for p in s.current.values())
    done = sum(p.phase is PodPhase.SUCCEEDED for p in s.current.values())
    report = s.seen.report
    status = changed(
        s.status,
        workers=Workers(desired=s.nodes, ready=running, summary=f"{running}/{s.nodes}"),
        waiting=waiting(s),
        checkpoint=newest_checkpoint(s.status.checkpoint, report),
        observed_generation=s.job.metadata.generation,
    )
    if report is not None and progress_due(s, report):
        status = changed(status, progress=progress_of(report))
    up = s.this_attempt.created_at is not None and running + done == s.nodes
    status = changed(status, attempts=_noted(s, report, up))
    if up and status.phase is not Phase.RUNNING:
        status = changed(status, phase=Phase.RUNNING, failure=None)
        status = with_condition(
            status, "Running", True, "GangUp", f"all {s.nodes} pods of attempt {s.attempt} run", s.now
        )
    return status


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


def waiting(s: Situation) -> Waiting | None:
    """Why the gang is not up: our own refused write first, then the scheduler, then the kubelet."""
    if s.stale:
        return Waiting(
            reason="OldPodsTerminating",
            message=f"{len(s.stale)} pods of an earlier attempt are not gone yet",
        )
    if s.seen.refusal is not None and s.this_attempt.created_at is None:
        return Waiting(reason=s.seen.refusal.kind.value, message=s.seen.refusal.message[:4096])
    held = [p for p in s.current.values() if p.hold is not None and p.phase is PodPhase.PENDING]
    if not held:
        return None
    first = min(held, key=lambda p: (p.hold is not None and p.hold[0] == "ContainerCreating", p.rank))
    assert first.hold is not None
    return Waiting(reason=first.hold[0][:256], message=f"pod {first.name}: {first.hold[1]}"[:4096])


def progress_interval(since: datetime | None, now: datetime) -> float:
    """Seconds between writes of progress: often while somebody watches, seldom in a long run."""
    age = (now - since).total_seconds() if since else 0.0
    if age < 120:
        return 5.0
    return 15.0 if age < 600 else 60.0


def progress_due(s: Situation, report: LastReport) -> bool:
    """Whether the report goes on record now. A new stage is not kept waiting."""
    old = s.status.progress
    if old is None or old.updated_at is None or old.stage != report.report.stage.value:
        return True
    if report.received.replace(microsecond=0) <= old.updated_at:
        return False
    return (s.now - old.updated_at).total_seconds() >= progress_interval(s.this_attempt.running_at, s.now)


def seconds_to_next_progress(s: Situation) -> float | None:
    """When a report that was held back becomes due; None when all that is known is told."""
    report, old = s.seen.report, s.status.progress
    if report is None or old is None or old.updated_at is None or progress_due(s, report):
        return None
    if report.received.replace(microsecond=0) <= old.updated_at:
        return None
    due = old.updated_at + timedelta(seconds=progress_interval(s.this_attempt.running_at, s.now))
    return max((due - s.now).total_seconds(), 0.1)


def progress_of(last: LastReport) -> Progress:
    """A report as the status tells it."""
    r = last.report
    return progress_texts(
        Progress(
            **{name: getattr(r, name) for name in Figures.model_fields},
            stage=r.stage.value,
            eta=None if r.eta_seconds is None else last.received + timedelta(seconds=r.eta_seconds),
            eta_text=None if r.eta_seconds is None else duration_text(r.eta_seconds),
            updated_at=last.received.replace(microsecond=0),
        )
    )


def progress_texts(progress: Progress) -> Progress:
    """With the texts that ``kubectl get`` shows."""
    percent: int | None = None
    if progress.step is None:
        summary = progress.stage
    elif progress.total_steps:
        summary = f"{progress.step}/{progress.total_steps}"
        percent = min(100 * progress.step // progress.total_steps, 100)
    else:
        summary = str(progress.step)
    rate = progress.tokens_per_second
    return changed(
        progress,
        summary=summary,
        percent=percent,
        percent_text=None if percent is None else f"{percent}%",
        loss_text=None if progress.loss is None else f"{progress.loss:.3f}",
        tokens_per_second_text=None if rate is None else f"{rate:.0f}",
    )


def duration_text(seconds: float) -> str:
    """``45s``, ``12m``, ``1h30m``, ``2d4h``: two units at most, as kubectl shows ages."""
    total = max(round(seconds), 0)
    if total < 60:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if hours == 0:
        return f"{minutes}m" if minutes >= 10 or total % 60 == 0 else f"{minutes}m{total % 60}s"
    if days == 0:
        return f"{hours}h{minutes % 60}m"
    return f"{days}d{hours % 24}h"
