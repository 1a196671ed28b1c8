"""``spec.suspend``: what `plan` makes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, UID, ended, job, later, manifest, pod, running, seen

from llmtrain_api import (
    Charge,
    EndReason,
    FailureClass,
    Job,
    JobStatus,
    Outcome,
    Phase,
    Restarts,
    TerminationMessage,
    changed,
)
from llmtrain_operator.plan import plan
from llmtrain_operator.types import CreatePod, DeletePod, Plan, Pod, PodPhase

SAVED = TerminationMessage(outcome=Outcome.INTERRUPTED, checkpoint_step=40, resumed_step=0)
BOOM = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")


def decide(status: JobStatus, *pods: Pod, suspend: bool = True, at: datetime = T0) -> Plan:
    return plan(seen(job(status, suspend=suspend), pods), at)


def gang(**changes: Any) -> tuple[Pod, Pod]:
    return pod(0, 0, **changes), pod(0, 1, **changes)


def stopping() -> JobStatus:
    return decide(running(0), *gang()).status


def test_it_is_on_record_before_a_pod_is_asked_to_go() -> None:
    first = decide(running(0), *gang())
    assert first.actions == ()
    assert (first.status.phase, first.status.attempts[-1].stopping_at) == (Phase.SUSPENDING, T0)
    assert first.status.waiting is not None
    assert first.status.waiting.message == "every rank saves a checkpoint before its pod goes"
    second = decide(first.status, *gang())
    assert second.actions == tuple(DeletePod(p.name, p.uid, SETTINGS.grace_seconds) for p in gang())
    assert second.status == first.status


def test_nothing_is_asked_twice_of_a_pod_that_goes() -> None:
    deadline = later(SETTINGS.grace_seconds)
    going = decide(stopping(), *gang(deletion_deadline=deadline), at=later(5))
    assert going.actions == ()
    assert going.requeue_after is not None
    overdue = decide(stopping(), *gang(deletion_deadline=deadline), at=later(SETTINGS.grace_seconds + 60))
    assert overdue.actions == tuple(DeletePod(p.name, p.uid, 0) for p in gang())


def test_what_ranks_said_at_their_end_outlives_their_pods() -> None:
    last = ended(SAVED, 75, later(3))
    going = gang(phase=PodPhase.FAILED, termination=last, deletion_deadline=later(30))
    noted = decide(stopping(), *going, at=later(4)).status
    assert noted.checkpoint is not None
    assert noted.checkpoint.step == 40
    done = decide(noted, at=later(5)).status
    record = done.attempts[-1]
    assert (done.phase, record.reason, record.charge) == (Phase.SUSPENDED, EndReason.SUSPENDED, Charge.NOBODY)
    assert (record.checkpoint_step, record.failure_class, record.ended_at) == (40, None, later(5))
    assert (done.failure, done.restarts) == (None, Restarts())
    assert done.waiting is not None
    assert done.waiting.message == "set spec.suspend to false to go on from step 40"
    truths = {c.type: c.status for c in done.conditions}
    assert (truths["Suspended"], truths["Running"]) == ("True", "False")


def test_it_stands_still_and_then_goes_on_as_a_new_attempt_that_nobody_pays_for() -> None:
    done = decide(stopping()).status
    assert decide(done, at=later(86_400)) == Plan(done)
    again = decide(done, suspend=False, at=later(90_000)).status
    assert (again.phase, again.attempt, again.restarts, again.waiting) == (
        Phase.QUEUED,
        1,
        Restarts(),
        None,
    )
    assert again.attempts[0] == done.attempts[0]
    condition = again.condition("Suspended")
    assert condition is not None
    assert (condition.status, condition.last_transition_time) == ("False", later(90_000))
    let_in = decide(again, suspend=False, at=later(90_000)).status
    assert let_in.phase is Phase.STARTING, "it queues, and is let in on record first"
    created = decide(let_in, suspend=False, at=later(90_000))
    names = [a.manifest["metadata"]["name"] for a in created.actions if isinstance(a, CreatePod)]
    assert names == ["tiny-1-0", "tiny-1-1"], "it waits though nothing failed"


def test_a_stop_that_has_begun_is_carried_to_its_end() -> None:
    unsuspended = decide(stopping(), *gang(), suspend=False)
    assert len(unsuspended.actions) == 2
    assert unsuspended.status.phase is Phase.SUSPENDING


def test_what_has_failed_before_is_a_failure() -> None:
    broken = pod(0, 1, PodPhase.FAILED, termination=ended(BOOM, 1, T0))
    found = decide(running(0), pod(0, 0), broken, at=later(6)).status
    assert (found.phase, found.attempt, found.restarts) == (
        Phase.RESTARTING,
        1,
        Restarts(total=1, application=1, since_checkpoint=1),
    )
    stopped = decide(found, at=later(7)).status
    assert (stopped.phase, stopped.attempt) == (Phase.SUSPENDING, 1)


def test_a_rank_that_breaks_while_it_stops_is_no_failure() -> None:
    broken = pod(0, 1, PodPhase.FAILED, termination=ended(BOOM, 1, later(2)))
    found = decide(stopping(), pod(0, 0), broken, at=later(9))
    assert found.status.phase is Phase.SUSPENDING
    assert {a.name for a in found.actions if isinstance(a, DeletePod)} == {"tiny-0-0", "tiny-0-1"}


def test_a_job_may_be_suspended_from_the_beginning() -> None:
    first = decide(JobStatus())
    assert (first.status.phase, first.status.attempt, first.actions) == (Phase.SUSPENDED, None, ())
    assert first.status.condition("Accepted") is None
    free = decide(first.status, suspend=False).status
    assert free.phase is Phase.PENDING
    assert decide(free, suspend=False).status.attempt == 0


def test_a_spec_that_cannot_be_run_is_told_though_it_is_suspended() -> None:
    wrong = plan(seen(job(suspend=True, output={"uri": "file:///tmp/x"})), T0).status
    assert wrong.phase is Phase.PENDING
    condition = wrong.condition("Accepted")
    assert condition is not None
    assert condition.status == "False"


def test_a_spec_that_this_operator_cannot_read_is_suspended_all_the_same() -> None:
    raw = manifest(suspend=True, nodes="as many as there are")
    raw["metadata"] |= {"uid": UID, "resourceVersion": "7", "generation": 1}
    raw["status"] = running(0).to_json()
    assert plan(seen(Job.model_validate(raw), gang()), T0).status.phase is Phase.SUSPENDING


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED])
def test_a_job_that_is_over_stays_over(phase: Phase) -> None:
    status = changed(running(0), phase=phase)
    assert decide(status) == Plan(status)
