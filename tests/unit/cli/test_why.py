"""`llmtrain why`: what a person reads of a job that waits, stands still, runs or has failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from harness.failures.texts import PROCESSES
from harness.jobs import T0, job, later, running

from llmtrain.render import why as answers
from llmtrain.render.meanings import known_failures
from llmtrain.values import Event
from llmtrain_api import (
    Attempt,
    Checkpoint,
    Condition,
    Failure,
    FailureClass,
    JobStatus,
    Phase,
    Progress,
    Restarts,
    Results,
    Waiting,
    Workers,
    changed,
)

NOW = later(600)
TEXTS = [(name, text) for name, texts in PROCESSES.items() for text in texts]


def asked(status: JobStatus | None, events: tuple[Event, ...] = (), **spec: Any) -> answers.Why:
    return answers.why(job(status, **spec), events, NOW)


def text_of(found: answers.Why) -> str:
    return "\n".join(answers.lines(found))


def condition(kind: Any, value: Any, reason: str, message: str = "") -> Condition:
    return Condition(type=kind, status=value, reason=reason, message=message, last_transition_time=T0)


def failed(failure: Failure, **fields: Any) -> JobStatus:
    ends = [
        Attempt(number=n, started_at=T0, ended_at=T0, failure_class=failure.failure_class) for n in (0, 1)
    ]
    return running(1, phase=Phase.FAILED, failure=failure, attempts=ends, **fields)


@pytest.mark.parametrize(("name", "text"), TEXTS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(TEXTS)])
def test_each_known_failure_is_told_with_its_class_and_what_helps(name: str, text: str) -> None:
    known = known_failures()[name]
    kind = known.failure_class or FailureClass.USER_ERROR
    # by its text alone, as of an operator that did not know it
    found = asked(failed(Failure(failure_class=kind, message=text.splitlines()[0][:4000], rank=1)))
    assert found.state == "Failed"
    assert kind.value in found.paragraph
    assert known.hint in found.fix[0]
    by_name = asked(failed(Failure(failure_class=kind, message="it ended", reason=name)))
    assert by_name.reason == name
    assert by_name.fix[0] == known.hint


def test_a_failure_names_who_failed_first_the_attempts_the_log_and_what_a_retry_goes_on_from() -> None:
    failure = Failure(
        failure_class=FailureClass.OUT_OF_MEMORY,
        message="CUDA out of memory",
        hint="lower training.microBatchSize",
        rank=3,
        node="gpu-7",
        exit_code=1,
        log_tail="\n".join(f"line {n}" for n in range(40)),
    )
    found = asked(failed(failure, checkpoint=Checkpoint(step=450)))
    told = text_of(found)
    assert found.paragraph.startswith("Tiny has failed after 2 attempts, at step 450")
    assert "rank 3, node gpu-7, exit code 1" in told
    assert "attempts 0 to 1 ended: OutOfMemory" in told
    assert found.fix[0] == "lower training.microBatchSize", "what the operator says is first"
    assert "goes on from step 450" in found.fix[-1]
    assert found.log_tail == [f"line {n}" for n in range(28, 40)]


def test_a_queued_job_is_told_with_its_place_since_when_and_when_there_will_be_room() -> None:
    waiting = Waiting(
        reason="WaitingForCapacity",
        message="1 of 2 pods would find a node, short of 1",
        since=T0,
        position=3,
        estimated_start=NOW + timedelta(minutes=90),
    )
    found = asked(JobStatus(phase=Phase.QUEUED, waiting=waiting))
    told = text_of(found)
    assert found.reason == "WaitingForCapacity"
    assert "1 of 2 pods would find a node" in found.paragraph
    assert "place 3 in the queue" in told
    assert "(10 minutes)" in told
    assert "in 1 hour 30 minutes" in told
    assert "cannot be told" in text_of(
        asked(JobStatus(phase=Phase.QUEUED, waiting=changed(waiting, estimated_start=None)))
    )


def test_a_refused_job_is_told_with_the_message_that_names_the_field() -> None:
    refused = condition("Accepted", "False", "InvalidSpec", "spec.training.zeroStage: use at most 1")
    found = asked(JobStatus(phase=Phase.PENDING, conditions=[refused]))
    assert found.state == "Refused"
    assert "spec.training.zeroStage: use at most 1" in found.paragraph
    assert found.fix


def test_a_job_that_no_operator_sees_is_told_so_after_a_while() -> None:
    raw = job()
    meta = changed(raw.metadata, creation_timestamp=T0)
    found = answers.why(changed(raw, metadata=meta), (), NOW)
    assert found.reason == "NoOperator"
    assert "watchNamespace" in found.fix[1]
    fresh = changed(raw, metadata=changed(meta, creation_timestamp=NOW - timedelta(seconds=2)))
    assert answers.why(fresh, (), NOW).reason == ""


def test_a_suspended_job_is_told_with_what_is_saved_and_how_it_goes_on() -> None:
    stands = condition("Suspended", "True", "SuspendedOnRequest")
    status = JobStatus(phase=Phase.SUSPENDED, checkpoint=Checkpoint(step=7), conditions=[stands])
    found = asked(status, suspend=True)
    assert "for 10 minutes" in found.paragraph
    assert "step 7 is saved" in found.paragraph
    assert found.fix == ["llmtrain resume tiny"]


def test_a_starting_job_is_told_with_what_the_cluster_says_of_its_pods() -> None:
    waiting = Waiting(
        reason="ImagePullBackOff", message="pod tiny-0-1: no such image (correct its name)", since=T0
    )
    warning = Event(NOW, "Warning", "Failed", "Failed to pull image", 4, "pod tiny-0-1")
    normal = Event(NOW, "Normal", "Pulling", "pulling", 1, "pod tiny-0-1")
    found = asked(JobStatus(phase=Phase.STARTING, attempt=0, waiting=waiting), (normal, warning))
    assert "no such image" in found.paragraph
    assert found.evidence[-1] == "Failed: pod tiny-0-1: Failed to pull image (now, 4 times)"
    assert "llmtrain explain ImagePullBackOff" in found.fix


def test_a_restarting_job_is_told_with_what_failed_before() -> None:
    failure = Failure(
        failure_class=FailureClass.HANG, message="rank 1 did not come on", hint="look at node n1"
    )
    found = asked(running(1, phase=Phase.RESTARTING, failure=failure))
    assert "Hang: rank 1 did not come on" in found.paragraph
    assert found.fix[0] == "look at node n1"


def test_a_running_job_is_told_with_how_far_it_is_and_whether_it_reports() -> None:
    progress = Progress(
        step=5, total_steps=20, updated_at=NOW - timedelta(seconds=9), eta=NOW + timedelta(hours=2)
    )
    status = running(progress=progress, restarts=Restarts(total=2))
    found = asked(status)
    assert "step 5 of 20, reported 9 seconds ago" in found.paragraph
    assert "in 2 hours" in found.paragraph
    assert "started again 2 times" in found.paragraph
    short = Workers(desired=1, ready=1, summary="1/1", wanted=2, message="room for 1 of 2")
    assert "room for 1 of 2" in asked(changed(status, workers=short)).paragraph
    lost = asked(
        changed(status, conditions=[condition("ReportingLost", "True", "NoReports", "rank 0 is silent")])
    )
    assert lost.reason == "NoReports"
    assert "rank 0 is silent" in lost.paragraph


def test_a_job_that_succeeded_says_so() -> None:
    status = JobStatus(
        phase=Phase.SUCCEEDED, results=Results(steps=20, eval_loss=2.5, export_uri="pvc://c/t/export")
    )
    assert "pvc://c/t/export" in asked(status).paragraph


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_an_answer_with_the_name_of_the_job(phase: Phase) -> None:
    found = asked(JobStatus(phase=phase))
    assert "iny" in found.paragraph
    assert found.to_json()["state"] == phase.value


def test_nothing_that_a_pod_says_steers_the_terminal() -> None:
    hostile = "boom \x1b]0;owned\x07 \x1b[2J \u202ereversed \x9b31m"
    found = asked(
        failed(
            Failure(failure_class=FailureClass.USER_ERROR, message=hostile, hint=hostile, log_tail=hostile)
        )
    )
    assert not any(sign in text_of(found) for sign in "\x1b\x07\u202e\x9b")
    assert "boom" in found.paragraph


def test_a_gang_that_is_held_is_told_with_how_to_look_and_how_to_end_that() -> None:
    waits = Waiting(reason="HeldForDebugging", message="UserError: boom; the pods are held until noon")
    found = asked(running(waiting=waits))
    assert (found.state, found.reason) == ("Running", "HeldForDebugging")
    assert found.paragraph.startswith("Ranks of tiny have failed")
    assert "boom; the pods are held until noon" in found.paragraph
    assert [fix.partition("   #")[0].split()[-1] for fix in found.fix] == ["tiny", "--release"]
