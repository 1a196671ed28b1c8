"""The two ends of a job."""

from __future__ import annotations

from llmtrain_api import Checkpoint, Failure, JobStatus, Phase, Progress, Results, Workers, changed

from ..types import DeletePod, Plan, PodPhase
from .conditions import with_condition
from .evidence import said
from .situation import Situation
from .status import progress_texts

LINGER_SECONDS = 10.0
"""How long the other ranks may take to end after rank 0 has."""


def close(s: Situation) -> Plan | None:
    """Nothing runs on under a finished job; ended pods stay, for their logs."""
    if s.status.phase is None or not s.status.phase.final:
        return None
    running = [p for p in s.seen.pods if not p.terminal and p.deletion_deadline is None]
    return Plan(s.status, tuple(DeletePod(p.name, p.uid, s.seen.settings.grace_seconds) for p in running))


def succeed(s: Situation) -> Plan | None:
    """Rank 0 exports and ends last; its exit 0 is the job's success."""
    first = s.current.get(0)
    if first is None or first.phase is not PodPhase.SUCCEEDED:
        return None
    ended = first.termination.finished_at if first.termination else None
    if ended is not None and not all(p.terminal for p in s.current.values()):
        wait = (ended - s.now).total_seconds() + LINGER_SECONDS
        if wait > 0:
            return Plan(s.status, requeue_after=wait)
    message = said(first)
    results = message.results if message else None
    status = close_attempt(
        s,
        resumed_step=message.resumed_step if message else None,
        checkpoint_step=message.checkpoint_step if message else None,
    )
    status = changed(
        status,
        phase=Phase.SUCCEEDED,
        results=results,
        progress=_final_progress(status.progress, results),
        waiting=None,
        failure=None,
    )
    status = with_condition(status, "Running", False, "Complete", "", s.now)
    note = f"{results.steps} steps" if results else "rank 0 exited 0"
    return Plan(with_condition(status, "Complete", True, "Complete", note, s.now))


def fail(s: Situation, failure: Failure) -> Plan:
    """The job is over: the root cause goes on record."""
    failure = changed(failure, time=failure.time or s.now)
    status = close_attempt(s, failure=failure)
    status = changed(status, phase=Phase.FAILED, failure=failure, waiting=None)
    status = with_condition(status, "Running", False, "Failed", "", s.now)
    return Plan(with_condition(status, "Failed", True, failure.failure_class.value, failure.message, s.now))


def close_attempt(
    s: Situation,
    *,
    failure: Failure | None = None,
    resumed_step: int | None = None,
    checkpoint_step: int | None = None,
) -> JobStatus:
    """The status with the current attempt's record ended and the newest checkpoint noted."""
    report = s.seen.report.report if s.seen.report else None
    steps = [
        s.status.checkpoint.step if s.status.checkpoint else None,
        report.checkpoint_step if report else None,
        checkpoint_step,
    ]
    newest = max((step for step in steps if step is not None), default=None)
    old = s.this_attempt
    resumed = [old.resumed_step, report.resumed_step if report else None, resumed_step]
    ended = changed(
        old,
        ended_at=s.now,
        resumed_step=next((step for step in resumed if step is not None), None),
        resumed_note=old.resumed_note or (report.resumed_note if report else None),
        checkpoint_step=newest,
        failure_class=failure.failure_class if failure else None,
        message=failure.message[:256] if failure else None,
    )
    ready = 0 if failure else s.nodes
    return changed(
        s.status,
        attempts=[*s.status.attempts[:-1], ended],
        checkpoint=_newer(s.status.checkpoint, newest, s),
        workers=Workers(desired=s.nodes, ready=ready, summary=f"{ready}/{s.nodes}"),
        observed_generation=s.job.metadata.generation,
    )


def _newer(old: Checkpoint | None, step: int | None, s: Situation) -> Checkpoint | None:
    if step is None or (old is not None and old.step >= step):
        return old
    return Checkpoint(step=step, time=s.now)


def _final_progress(progress: Progress | None, results: Results | None) -> Progress | None:
    if results is None:
        return progress
    known = progress or Progress()
    total = max(results.steps, known.total_steps or 0)
    return progress_texts(
        changed(
            known,
            stage="done",
            step=results.steps,
            total_steps=total,
            loss=results.train_loss if results.train_loss is not None else known.loss,
            eval_loss=results.eval_loss,
            perplexity=results.perplexity,
            eta=None,
            eta_text=None,
        )
    )
