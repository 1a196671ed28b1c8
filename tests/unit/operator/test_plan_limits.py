"""What a job may take, what it has used, and how it ends: what `plan` makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, UID, ended, job, later, manifest, pod, report, running, seen

from llmtrain_api import (
    Charge,
    Checkpoint,
    EndReason,
    Failure,
    FailureClass,
    Job,
    JobStatus,
    Outcome,
    Phase,
    Restarts,
    TerminationMessage,
    Usage,
    changed,
)
from llmtrain_api.names import ANNOTATION_RERUN
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.conditions import with_condition
from llmtrain_operator.types import DeleteJob, DeletePod, LastReport, Plan, PlanSettings, Pod, PodPhase

GANG = (pod(0, 0), pod(0, 1))
GPUS: dict[str, Any] = {"gpusPerNode": 2, "resources": {"memory": "64Gi"}, "prepare": {"nodes": 0}}
PRICED = replace(SETTINGS, gpu_hour_price=2.5, currency="EUR")


def decide(
    status: JobStatus,
    *pods: Pod,
    at: datetime = T0,
    told: LastReport | None = None,
    settings: PlanSettings = SETTINGS,
    **spec: Any,
) -> Plan:
    return plan(replace(seen(job(status, **spec), pods, told), settings=settings), at)


def over(phase: Phase = Phase.FAILED) -> JobStatus:
    kind = "Failed" if phase is Phase.FAILED else "Complete"
    failure = Failure(failure_class=FailureClass.CONFIG_ERROR, message="no such file")
    status = changed(running(0), phase=phase, failure=failure if phase is Phase.FAILED else None)
    record = changed(status.attempts[0], ended_at=T0, charge=Charge.APPLICATION)
    status = changed(status, attempts=[record], restarts=Restarts(total=3, application=3, since_checkpoint=4))
    return with_condition(status, kind, True, "Over", "", T0)  # type: ignore[arg-type]


def test_a_deadline_is_looked_for_when_it_is_due_and_not_before() -> None:
    early = decide(running(0), *GANG, at=later(100), activeDeadlineSeconds=300)
    assert early.status.attempts[-1].stopping_at is None
    assert early.requeue_after == pytest.approx(201.0)
    due = decide(running(0), *GANG, at=later(300), activeDeadlineSeconds=300)
    record = due.status.attempts[-1]
    assert (due.actions, due.status.phase) == ((), Phase.RUNNING)
    assert (record.stopping_at, record.reason) == (later(300), EndReason.ACTIVE_DEADLINE)
    assert due.status.waiting is not None
    assert "activeDeadlineSeconds allows: every rank saves" in due.status.waiting.message
    asked = decide(due.status, *GANG, at=later(300), activeDeadlineSeconds=300)
    assert asked.actions == tuple(DeletePod(p.name, p.uid, SETTINGS.grace_seconds) for p in GANG)


def test_a_deadline_ends_the_job_with_its_field_and_a_saved_step() -> None:
    stopping = decide(running(0), *GANG, at=later(300), activeDeadlineSeconds=300).status
    saved = ended(TerminationMessage(outcome=Outcome.INTERRUPTED, checkpoint_step=7), 75, later(305))
    going = (replace(p, phase=PodPhase.FAILED, termination=saved, deletion_deadline=later(330)) for p in GANG)
    noted = decide(stopping, *going, at=later(306), activeDeadlineSeconds=300).status
    done = decide(noted, at=later(310), activeDeadlineSeconds=300).status
    assert (done.phase, done.restarts) == (Phase.FAILED, Restarts())
    assert done.failure is not None
    assert done.failure.failure_class is FailureClass.DEADLINE_EXCEEDED
    assert done.failure.hint is not None
    assert "spec.activeDeadlineSeconds" in done.failure.hint
    assert done.attempts[-1].charge is Charge.NOBODY
    assert done.checkpoint is not None
    assert done.checkpoint.step == 7
    assert done.usage == Usage(running_seconds=310)


def test_a_limit_may_be_raised_while_the_job_runs() -> None:
    assert decide(running(0), *GANG, at=later(300), activeDeadlineSeconds=301).status.phase is Phase.RUNNING
    used_up = changed(running(1), usage=Usage(running_seconds=1_000))
    pods = (pod(1, 0), pod(1, 1))
    assert decide(used_up, *pods, activeDeadlineSeconds=900).status.attempts[-1].stopping_at == T0
    assert decide(used_up, *pods, activeDeadlineSeconds=2_000).status.attempts[-1].stopping_at is None


def test_gpu_hours_are_those_of_all_gpus_of_all_attempts() -> None:
    before = changed(running(0), usage=Usage(running_seconds=1_800, gpu_seconds=7_200))
    early = decide(before, *GANG, at=later(800), limits={"gpuHours": 3}, **GPUS)
    assert early.status.attempts[-1].stopping_at is None, "2 hours, and 800 s of four GPUs"
    assert early.requeue_after == pytest.approx(101.0)
    due = decide(before, *GANG, at=later(900), limits={"gpuHours": 3}, **GPUS).status
    assert due.attempts[-1].reason is EndReason.GPU_HOURS
    done = decide(due, at=later(900), limits={"gpuHours": 3}, **GPUS).status
    assert done.failure is not None
    assert (done.failure.failure_class, done.failure.message) == (
        FailureClass.BUDGET_EXCEEDED,
        "the job has used 3.00 GPU-hours, all that limits.gpuHours allows",
    )


def test_what_was_computed_since_the_newest_checkpoint_is_wasted() -> None:
    saved = changed(running(0), checkpoint=Checkpoint(step=10, time=later(600)))
    boom = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")
    broken = pod(0, 1, PodPhase.FAILED, termination=ended(boom, 1, later(990)))
    told = report(at=later(980), step=17, resumed_step=4, checkpoint_step=10)
    found = decide(saved, pod(0, 0), broken, at=later(1000), told=told, settings=PRICED, **GPUS).status
    assert found.usage == Usage(
        running_seconds=1000, gpu_seconds=4000, wasted_gpu_seconds=1600, cost=2.78, currency="EUR"
    )
    record = found.attempts[0]
    assert (record.running_seconds, record.steps_gained, record.steps_lost) == (1000, 6, 7)
    assert record.node == "node2"


def test_use_goes_on_record_with_progress_and_not_by_itself() -> None:
    first = decide(running(0), *GANG, at=later(50), **GPUS).status
    assert first.usage is None, "a status that changes with time alone is written without end"
    told = decide(first, *GANG, at=later(60), told=report(at=later(60)), **GPUS).status
    assert told.usage == Usage(running_seconds=60, gpu_seconds=240)
    again = decide(told, *GANG, at=later(70), told=report(at=later(70)), **GPUS).status
    assert again.usage == Usage(running_seconds=70, gpu_seconds=280)
    back = decide(again, *GANG, at=later(20), told=report(at=later(200)), **GPUS).status
    assert back.usage == again.usage, "a clock that is set back takes nothing away"


def test_a_gang_that_does_not_get_up_in_time_fails_with_what_it_waits_for() -> None:
    began = decide(JobStatus(), startTimeoutSeconds=60).status
    held = tuple(pod(0, rank, PodPhase.PENDING, hold=("Unschedulable", "no room")) for rank in (0, 1))
    told = decide(began, *held, at=later(30), startTimeoutSeconds=60)
    assert told.status.phase is Phase.STARTING
    waits = decide(told.status, *held, at=later(30), startTimeoutSeconds=60)
    assert waits.requeue_after == pytest.approx(61.0)
    late = decide(waits.status, *held, at=later(90), startTimeoutSeconds=60).status
    assert late.failure is not None
    assert late.failure.failure_class is FailureClass.DEADLINE_EXCEEDED
    assert (
        "not all 2 pods of attempt 0 ran within 60s: Unschedulable: pod tiny-0-0: no room"
        in late.failure.message
    )


def test_a_gang_that_is_not_created_yet_has_not_begun_to_start() -> None:
    asked = changed(running(0), phase=Phase.STARTING)
    record = changed(asked.attempts[0], created_at=None, running_at=None)
    waits = decide(changed(asked, attempts=[record]), at=later(6000), startTimeoutSeconds=60).status
    assert waits.phase is Phase.STARTING
    record = changed(record, created_at=later(100))
    pending = tuple(pod(0, rank, PodPhase.PENDING) for rank in (0, 1))
    back = decide(changed(asked, attempts=[record]), *pending, at=T0, startTimeoutSeconds=60)
    assert back.status.phase is Phase.STARTING, "a clock that was set back ends nothing"
    assert back.requeue_after == pytest.approx(61.0)


@pytest.mark.parametrize("claimed", ["DeadlineExceeded", "BudgetExceeded"])
def test_no_pod_can_say_that_a_limit_was_reached(claimed: str) -> None:
    """It would start again at nobody's cost."""
    message = json.dumps({"outcome": "Failed", "failureClass": claimed, "message": "x"})
    broken = pod(0, 1, PodPhase.FAILED, termination=ended(message, 1, T0))
    found = decide(running(0), pod(0, 0), broken, at=later(6)).status
    assert found.restarts == Restarts(total=1, application=1, since_checkpoint=1)
    assert found.attempts[0].failure_class is FailureClass.UNKNOWN


def test_a_job_that_is_over_goes_after_its_time_and_not_before() -> None:
    assert decide(over(), at=later(10_000)).actions == ()
    early = decide(over(), at=later(200), ttlSecondsAfterFinished=300)
    assert (early.actions, early.requeue_after) == ((), 100.0)
    back = decide(over(), at=later(-5000), ttlSecondsAfterFinished=300)
    assert (back.actions, back.requeue_after) == ((), 300.0), "a clock that was set back ends nothing"
    due = decide(over(), at=later(300), ttlSecondsAfterFinished=300)
    assert due.actions == (DeleteJob(UID),)
    left = decide(over(), *GANG, at=later(300), ttlSecondsAfterFinished=300)
    assert DeleteJob(UID) not in left.actions, "its pods save and go first"


@pytest.mark.parametrize(
    ("keep", "phase", "goes"),
    [
        ("always", Phase.SUCCEEDED, False),
        ("always", Phase.FAILED, False),
        ("onFailure", Phase.SUCCEEDED, True),
        ("onFailure", Phase.FAILED, False),
        ("never", Phase.SUCCEEDED, True),
        ("never", Phase.FAILED, True),
    ],
)
def test_ended_pods_stay_as_keep_pods_says(keep: str, phase: Phase, goes: bool) -> None:
    done = tuple(replace(p, phase=PodPhase.SUCCEEDED) for p in GANG)
    found = decide(over(phase), *done, keepPods=keep)
    assert bool(found.actions) is goes


def asked_again(status: JobStatus, text: str, **spec: Any) -> JobStatus:
    raw = manifest(**spec)
    annotations = {ANNOTATION_RERUN: text}
    raw["metadata"] |= {"uid": UID, "resourceVersion": "7", "generation": 1, "annotations": annotations}
    raw["status"] = status.to_json()
    return plan(seen(Job.model_validate(raw)), later(60)).status


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED])
def test_a_job_that_is_over_is_tried_again_once_for_each_text(phase: Phase) -> None:
    again = asked_again(over(phase), "the disk is larger now")
    assert (again.phase, again.attempt, again.rerun) == (Phase.QUEUED, 1, "the disk is larger now")
    assert (again.failure, again.results, again.restarts) == (None, None, Restarts())
    assert {c.type: c.status for c in again.conditions}[
        "Failed" if phase is Phase.FAILED else "Complete"
    ] == "False"
    ended_again = changed(over(phase), rerun="the disk is larger now")
    assert asked_again(ended_again, "the disk is larger now") == ended_again
    assert asked_again(ended_again, "x" * 300).rerun == "x" * 256
    assert asked_again(changed(ended_again, rerun="x" * 256), "x" * 300).phase is phase


def test_a_rerun_that_is_asked_for_while_the_job_runs_has_no_effect() -> None:
    noted = asked_again(running(0), "now")
    assert noted == changed(running(0), rerun="now")


def test_the_checkpoints_that_are_kept_are_those_that_the_trainer_last_told() -> None:
    told = report(at=later(10), checkpoint_step=20, checkpoints=[20, 10])
    known = decide(running(0), *GANG, at=later(11), told=told).status
    assert known.checkpoints == [20, 10]
    assert decide(known, *GANG, at=later(20)).status.checkpoints == [20, 10], (
        "an operator that has just started"
    )
    last = TerminationMessage(outcome=Outcome.INTERRUPTED, checkpoint_step=30, checkpoints=[30, 20])
    pods = (replace(p, phase=PodPhase.FAILED, termination=ended(last, 75, later(30))) for p in GANG)
    after = decide(known, *pods, at=later(40)).status
    assert (after.attempt, after.checkpoints) == (1, [30, 20])
