"""The two ends of a job."""

from __future__ import annotations

from collections.abc import Iterable

from llmtrain_api import Charge, Failure, KeepPods, Phase, Progress, Results, changed

from ..types import DeleteJob, DeletePod, Plan, Pod, PodPhase
from .attempts import charge_of, close_attempt
from .clock import seconds_left
from .conditions import with_condition
from .evidence import Evidence, of_success, termination_message
from .notices import pending
from .progress import progress_texts
from .removal import OVERDUE_SECONDS, overdue
from .situation import Situation

LINGER_SECONDS = 10.0
"""How long the other ranks may take to end after rank 0 has."""


def close(s: Situation) -> Plan | None:
    """Nothing runs on under a finished job, sidecars included; ended pods stay, for their logs.

    Before all that looks at the spec: a job whose data could not be prepared is over, and has no attempt.
    """
    if s.status.phase is None or not s.status.phase.final:
        return None
    left = [p for p in s.pods if not _kept(s, p)]
    running = [p for p in left if p.deletion_deadline is None]
    grace = s.seen.settings.grace_seconds
    actions = [DeletePod(p.name, p.uid, grace) for p in running]
    actions += [DeletePod(p.name, p.uid, 0) for p in left if overdue(s, p, grace)]
    if left:
        return Plan(s.status, tuple(actions), requeue_after=OVERDUE_SECONDS)
    wait = _seconds_to_live(s)
    if wait is not None and wait <= 0:
        if any(map(pending, s.status.notifications or ())):
            # with its object the last of them would go untold; it is given up in time
            return Plan(s.status)
        return Plan(s.status, (DeleteJob(s.job.metadata.uid),))
    return Plan(s.status, requeue_after=wait)


def _kept(s: Situation, pod: Pod) -> bool:
    """Whether a pod of a job that is over may stay: one that has ended, as ``keepPods`` says."""
    if not pod.terminal or pod.others_run:
        return False
    keep = s.spec.keep_pods if s.spec is not None else KeepPods.ALWAYS
    return keep is KeepPods.ALWAYS or (keep is KeepPods.ON_FAILURE and s.status.phase is Phase.FAILED)


def _seconds_to_live(s: Situation) -> float | None:
    """Until the object of a job that is over goes; None where nobody has said.

    A clock that was set back makes it live longer, never shorter.
    """
    ttl = s.spec.ttl_seconds_after_finished if s.spec is not None else None
    ends = [c for c in s.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"]
    if ttl is None or not ends:
        return None
    age = (s.now - max(c.last_transition_time for c in ends)).total_seconds()
    return ttl - max(age, 0.0)


def succeed(s: Situation) -> Plan | None:
    """Rank 0 exports and ends last; its exit 0 is the job's success."""
    first = s.current.get(0)
    if first is None or first.phase is not PodPhase.SUCCEEDED:
        return None
    ended = first.termination.finished_at if first.termination else None
    if ended is not None and not all(p.terminal for p in s.current.values()):
        wait = seconds_left(ended, LINGER_SECONDS, s.now)
        if wait > 0:
            return Plan(s.status, requeue_after=wait)
    message = termination_message(first)
    results = message.results if message else None
    status = close_attempt(s, charged_to=Charge.NOBODY, found=of_success(first))
    status = changed(
        status,
        phase=Phase.SUCCEEDED,
        results=results,
        progress=_final_progress(status.progress, results),
        waiting=None,
        failure=None,
    )
    status = with_condition(status, "Running", False, "Complete", "", s.now)
    note = (results.work if results else "") or "rank 0 exited 0"
    return Plan(with_condition(status, "Complete", True, "Complete", note, s.now))


def fail(s: Situation, failure: Failure, found: Iterable[Evidence] = ()) -> Plan:
    """The job is over: the root cause goes on record."""
    failure = changed(failure, time=failure.time or s.now)
    status = close_attempt(s, charged_to=charge_of(failure), failure=failure, found=found)
    status = changed(status, phase=Phase.FAILED, failure=failure, waiting=None)
    status = with_condition(status, "Running", False, "Failed", "", s.now)
    return Plan(with_condition(status, "Failed", True, failure.failure_class.value, failure.message, s.now))


def _final_progress(progress: Progress | None, results: Results | None) -> Progress | None:
    if results is None or results.steps is None:
        return progress
    known = progress or Progress()
    total = max(results.steps, known.total_steps or 0)
    return progress_texts(
        changed(
            known,
            stage="measured" if results.measured else "done",
            step=None if results.measured else results.steps,
            total_steps=None if results.measured else total,
            loss=results.train_loss if results.train_loss is not None else known.loss,
            eval_loss=results.eval_loss,
            perplexity=results.perplexity,
            eta=None,
            eta_text=None,
        )
    )
