"""A job in the queue has no pods and says why; who was let in and does not get up gives its room back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.jobs import SETTINGS, T0, UID, job, later, pod, seen

from llmtrain_api import Attempt, Charge, EndReason, JobStatus, Phase, Restarts, Waiting, Workers, changed
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.queue import not_before
from llmtrain_operator.types import ADMITTED, Admission, CreatePod, PodPhase

FULL = Admission(False, "WaitingForCapacity", "1 of 2 pods would find a node", 3, later(600), 15.0)
LIMITED = replace(SETTINGS, start_seconds=600.0)


def started(phase: Phase = Phase.STARTING, **attempt: object) -> JobStatus:
    return JobStatus(
        phase=phase,
        attempt=0,
        restarts=Restarts(),
        workers=Workers(desired=2, ready=0, summary="0/2"),
        attempts=[changed(Attempt(number=0, started_at=T0), **attempt)],
    )


def test_the_queue_is_asked_before_anything_is_on_record() -> None:
    decided = plan(replace(seen(job()), admission=None), T0)
    assert decided.asks
    assert decided.status == JobStatus()


def test_without_room_there_is_no_attempt_and_no_pod() -> None:
    decided = plan(replace(seen(job()), admission=FULL), T0)
    assert (decided.status.phase, decided.status.attempt, decided.actions) == (Phase.QUEUED, None, ())
    assert decided.status.waiting == Waiting(
        reason="WaitingForCapacity",
        message="1 of 2 pods would find a node",
        since=T0,
        position=3,
        estimated_start=later(600),
    )
    assert decided.status.workers is not None
    assert decided.status.workers.summary == "0/2"
    accepted = decided.status.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "True"
    assert decided.requeue_after == 15.0


def test_a_job_in_the_queue_begins_when_it_is_let_in() -> None:
    queued = plan(replace(seen(job()), admission=FULL), T0).status
    begun = plan(seen(job(queued)), later(9))
    assert (begun.status.phase, begun.status.attempt, begun.actions) == (Phase.STARTING, 0, ())
    assert begun.status.waiting is None
    pods = [a for a in plan(seen(job(begun.status)), later(9)).actions if isinstance(a, CreatePod)]
    assert len(pods) == 2


def test_since_is_kept_and_small_moves_of_the_estimate_are_not_written() -> None:
    first = plan(replace(seen(job()), admission=FULL), T0).status
    moved = replace(FULL, estimated_start=later(640))
    assert plan(replace(seen(job(first)), admission=moved), later(5)).status == first
    far = replace(FULL, estimated_start=later(900))
    waiting = plan(replace(seen(job(first)), admission=far), later(5)).status.waiting
    assert waiting is not None
    assert (waiting.since, waiting.estimated_start) == (T0, later(900))


def test_a_providers_words_are_told_as_far_as_a_status_takes_them() -> None:
    """Kueue's API lets a reason have 1,024 characters, and a message 32,768."""
    answer = Admission(False, "R" * 1024, "m" * 32768, retry_after=15.0)
    first = plan(replace(seen(job()), admission=answer), T0).status
    assert first.waiting is not None
    assert (first.waiting.reason, first.waiting.message) == ("R" * 256, "m" * 4096)
    again = plan(replace(seen(job(first)), admission=answer), later(30)).status
    assert again.waiting == first.waiting, "since when it waits is kept"


def test_nothing_is_told_while_nothing_is_known() -> None:
    decided = plan(replace(seen(job()), admission=Admission(False, retry_after=0.5)), T0)
    assert (decided.status, decided.requeue_after) == (JobStatus(), 0.5)


def test_a_wrong_spec_in_the_queue_is_refused() -> None:
    queued = plan(replace(seen(job()), admission=FULL), T0).status
    wrong = job(queued, output={"uri": "file:///tmp/x"})
    decided = plan(replace(seen(wrong), admission=None), T0)
    assert (decided.asks, decided.status.phase) == (False, Phase.PENDING)


def test_a_gang_that_does_not_get_up_in_time_goes_back_into_the_queue() -> None:
    status = started(created_at=T0)
    gang = (pod(0, 0), pod(0, 1, PodPhase.PENDING, node=None, hold=("Unschedulable", "0/3 nodes")))
    early = plan(replace(seen(job(status), gang), settings=LIMITED), later(599))
    assert early.status.attempt == 0
    assert early.requeue_after == 1.0
    late = plan(replace(seen(job(status), gang), settings=LIMITED), later(600))
    assert late.doubts, "a gang that may be up is looked at once more"
    assert (late.status.phase, late.status.attempt, late.actions) == (Phase.QUEUED, 1, ())
    assert late.status.attempts[0].charge is Charge.NOBODY
    assert late.status.restarts == Restarts()
    assert late.status.waiting is not None
    assert late.status.waiting.reason == "StartDeadline"
    assert "only 1 of 2 pods ran in time" in late.status.waiting.message
    assert "0/3 nodes" in late.status.waiting.message
    gone = plan(replace(seen(job(late.status), gang), settings=LIMITED, admission=None), later(600))
    assert len(gone.actions) == 2


def test_a_gang_that_has_run_or_pulls_its_image_is_left_alone() -> None:
    pulling = pod(0, 1, PodPhase.PENDING, hold=("ContainerCreating", "pulling"))
    for status, gang, at in (
        (started(Phase.RUNNING, created_at=T0, running_at=T0), (pod(0, 0), pod(0, 1)), 9000.0),
        (started(created_at=T0), (pod(0, 0), pulling), 3599.0),
    ):
        assert plan(replace(seen(job(status), gang), settings=LIMITED), later(at)).status.attempt == 0
    status, gang = started(created_at=T0), (pod(0, 0), pulling)
    assert plan(replace(seen(job(status), gang), settings=LIMITED), later(3600)).status.attempt == 1
    failing = pod(0, 1, PodPhase.PENDING, hold=("ImagePullBackOff", "no such image"))
    gang = (pod(0, 0), failing)
    assert plan(replace(seen(job(status), gang), settings=LIMITED), later(600)).status.attempt == 1
    assert plan(seen(job(status), gang), later(9000)).status.attempt == 0, "on a laptop there is no deadline"


def test_a_clock_that_was_set_back_ends_no_gang() -> None:
    status = started(created_at=later(7200))
    gang = (pod(0, 0, PodPhase.PENDING, node=None), pod(0, 1, PodPhase.PENDING, node=None))
    assert plan(replace(seen(job(status), gang), settings=LIMITED), T0).status.attempt == 0


def given_back(times: int, phase: Phase = Phase.QUEUED) -> JobStatus:
    ended = [
        Attempt(number=n, started_at=T0, ended_at=T0, charge=Charge.NOBODY, reason=EndReason.NO_ROOM)
        for n in range(times)
    ]
    return changed(
        started(phase), attempt=times, attempts=[*ended, Attempt(number=times, started_at=T0)], waiting=None
    )


@pytest.mark.parametrize(("times", "seconds"), [(1, 5), (2, 10), (4, 40), (30, 300)])
def test_the_backoff_doubles_up_to_five_minutes(times: int, seconds: float) -> None:
    until = not_before(given_back(times), UID, T0)
    assert until is not None
    assert 0.75 * seconds <= (until - T0).total_seconds() <= 1.25 * seconds
    assert not_before(given_back(times), UID, later(1.25 * seconds)) is None
    waits = plan(replace(seen(job(given_back(times))), admission=None), T0)
    assert not waits.asks


def test_jobs_that_met_once_do_not_meet_again() -> None:
    moments = {not_before(given_back(3), f"uid-{n}", T0) for n in range(20)}
    assert len(moments) > 10


def test_an_attempt_that_is_let_in_again_is_on_record_before_its_pods() -> None:
    decided = plan(replace(seen(job(given_back(1))), admission=ADMITTED), later(60))
    assert (decided.status.phase, decided.status.attempt, decided.actions) == (Phase.STARTING, 1, ())
    full = plan(replace(seen(job(given_back(1))), admission=FULL), later(60))
    assert (full.status.phase, full.status.attempt, full.actions) == (Phase.QUEUED, 1, ())
