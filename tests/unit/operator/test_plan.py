"""Each policy of `plan`, asked alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from harness.jobs import T0, complete, ended, job, later, pod, report, running, seen

from llmtrain_api import (
    Charge,
    Checkpoint,
    FailureClass,
    Outcome,
    Phase,
    Restarts,
    Stage,
    TerminationMessage,
    changed,
)
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.progress import duration_text, progress_interval
from llmtrain_operator.types import (
    CreateChild,
    CreatePod,
    DeletePod,
    Observed,
    Pod,
    PodPhase,
    Refusal,
    RefusalKind,
)


def failed(rank: int, text: str, at: datetime = T0, **fields: object) -> Pod:
    message = TerminationMessage.model_validate(
        {"outcome": Outcome.FAILED, "failureClass": "UserError", "message": text} | fields
    )
    return pod(0, rank, PodPhase.FAILED, termination=ended(message, 1, at))


def of_attempt(number: int, of: Pod) -> Pod:
    return replace(of, attempt=number, name=f"tiny-{number}-{of.rank}")


def test_first_sight_puts_the_attempt_on_record_and_creates_nothing_yet() -> None:
    decision = plan(seen(job()), T0)
    assert decision.actions == ()
    assert (decision.status.phase, decision.status.attempt) == (Phase.STARTING, 0)
    assert decision.status.resolved is not None
    assert decision.status.resolved.accumulation == 1
    assert decision.status.condition("Accepted").status == "True"  # type: ignore[union-attr]


def test_the_micro_batch_is_what_a_rank_has() -> None:
    asked = job(training={"maxSteps": 20, "globalBatchSize": 10, "microBatchSize": 8})
    resolved = plan(seen(asked), T0).status.resolved
    assert resolved is not None
    assert (resolved.micro_batch, resolved.accumulation) == (5, 1)


def test_then_everything_is_created_at_once_with_the_service_first() -> None:
    started = plan(seen(job()), T0).status
    decision = plan(seen(job(started)), T0)
    kinds = [
        "pods" if isinstance(a, CreatePod) else a.resource
        for a in decision.actions
        if isinstance(a, CreatePod | CreateChild)
    ]
    assert kinds == ["services", "configmaps", "pods", "pods"]


def test_created_at_is_noted_once_all_exist() -> None:
    started = plan(seen(job()), T0).status
    both = (pod(0, 0, PodPhase.PENDING), pod(0, 1, PodPhase.PENDING))
    half = plan(seen(job(started), both[:1]), T0)
    assert half.status.attempts[0].created_at is None
    assert [a.manifest["metadata"]["name"] for a in half.actions if isinstance(a, CreatePod)] == ["tiny-0-1"]
    assert plan(seen(job(started), both), T0).status.attempts[0].created_at == T0


def test_a_refused_spec_creates_nothing_and_an_edit_recovers_it() -> None:
    refused = plan(seen(job(output={"uri": "file:///data/x"})), T0)
    accepted = refused.status.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "False"
    assert "spec.output.uri" in accepted.message
    assert "use pvc://" in accepted.message
    assert refused.actions == ()
    assert plan(seen(job(refused.status)), T0).status.attempt == 0


def test_a_started_job_is_never_refused() -> None:
    both = (pod(0, 0), pod(0, 1))
    decision = plan(seen(job(running(), nodes=0), both), T0)
    assert decision.status.phase is Phase.RUNNING
    assert decision.status.condition("Accepted") is None


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    going = job(running())
    meta = going.metadata.model_copy(update={"deletion_timestamp": T0})
    decision = plan(seen(going.model_copy(update={"metadata": meta})), T0)
    assert decision.actions == ()
    assert decision.status == going.status


def test_a_failure_waits_for_evidence_then_writes_cause_and_next_attempt_in_one() -> None:
    pods = (pod(0, 0), failed(1, "boom"))
    waiting = plan(seen(job(running()), pods), later(1))
    assert waiting.status.attempt == 0
    assert waiting.requeue_after == pytest.approx(4)
    decided = plan(seen(job(running()), pods), later(6))
    assert decided.status.phase is Phase.RESTARTING
    assert decided.status.attempt == 1
    assert decided.status.restarts == Restarts(total=1, application=1, since_checkpoint=1)
    assert decided.status.failure is not None
    assert (decided.status.failure.message, decided.status.failure.rank) == ("boom", 1)
    assert decided.actions == (), "no pod goes before the record is written"


def test_all_ended_is_evidence_enough() -> None:
    pods = (failed(0, "connection closed", cascade=True), failed(1, "boom", at=later(1)))
    decided = plan(seen(job(running()), pods), later(1))
    assert decided.status.failure is not None
    assert decided.status.failure.message == "boom", "an echo is not the root cause"


def test_old_pods_go_first_and_new_ones_wait_for_the_last() -> None:
    status = plan(seen(job(running()), (pod(0, 0), failed(1, "boom"))), later(6)).status
    first = plan(seen(job(status), (pod(0, 0), failed(1, "boom"))), later(6))
    assert [a.name for a in first.actions if isinstance(a, DeletePod)] == ["tiny-0-0", "tiny-0-1"]
    going = replace(pod(0, 0), deletion_deadline=later(7))
    held = plan(seen(job(status), (going,)), later(6))
    assert held.actions == ()
    assert held.status.waiting is not None
    assert held.status.waiting.reason == "OldPodsTerminating"
    free = plan(seen(job(status)), later(6))
    names = [a.manifest["metadata"]["name"] for a in free.actions if isinstance(a, CreatePod)]
    assert names[-2:] == ["tiny-1-0", "tiny-1-1"]


def test_a_deleted_pod_with_a_long_grace_is_hurried() -> None:
    status = running(1)
    slow = replace(pod(0, 0), deletion_deadline=later(30))
    actions = plan(seen(job(status), (slow, pod(1, 0), pod(1, 1))), T0).actions
    assert actions == (DeletePod("tiny-0-0", "uid-0-0", 1),)


def test_missing_means_lost_only_after_all_existed() -> None:
    lost = plan(seen(job(running()), (pod(0, 1),)), later(1)).status
    assert lost.attempt == 1
    assert lost.failure is not None
    assert lost.failure.failure_class is FailureClass.INFRASTRUCTURE
    assert lost.restarts == Restarts(total=1, infrastructure=1)


def test_out_of_memory_names_the_fix() -> None:
    killed = pod(0, 1, PodPhase.FAILED, termination=ended("", 137, T0, reason="OOMKilled"))
    failure = plan(seen(job(running()), (pod(0, 0), killed)), later(6)).status.failure
    assert failure is not None
    assert failure.failure_class is FailureClass.OUT_OF_MEMORY
    assert "spec.resources.memory" in (failure.hint or "")


@pytest.mark.parametrize("kind", ["ConfigError", "Diverged"])
def test_what_another_attempt_would_only_repeat_is_not_tried_again(kind: str) -> None:
    bad = failed(0, "what is wrong", failureClass=kind, hint="what would be right")
    decided = plan(seen(job(running()), (bad, pod(0, 1))), later(6)).status
    assert decided.phase is Phase.FAILED
    assert decided.condition("Failed").reason == kind  # type: ignore[union-attr]


def test_progress_refills_the_budget_and_what_is_kept_of_attempts_does_not_count() -> None:
    """Sixty records are kept; a budget of a hundred restarts ends all the same."""
    status, restarts = running(), 0
    while status.phase is not Phase.FAILED:
        assert restarts < 110
        number = status.attempt or 0
        gang = tuple(
            replace(p, attempt=number, name=f"tiny-{number}-{p.rank}")
            for p in (failed(0, "boom"), failed(1, "boom"))
        )
        status = plan(seen(job(status, recovery={"maxRestarts": 100}), gang), later(60)).status
        if status.phase is not Phase.FAILED:
            restarts += 1
            assert status.restarts == Restarts(
                total=restarts, application=restarts, since_checkpoint=restarts
            )
            last = changed(status.attempts[-1], created_at=T0)
            status = changed(status, attempts=[*status.attempts[:-1], last])
    assert restarts == 100
    assert len(status.attempts) == 60
    assert "recovery.maxRestarts" in (status.failure.hint or "")  # type: ignore[union-attr]


@pytest.mark.parametrize(("committed", "count"), [(None, 3), (10, 3), (11, 1)])
def test_a_newer_checkpoint_refills_the_budget(committed: int | None, count: int) -> None:
    status = running(
        1, restarts=Restarts(total=2, application=2, since_checkpoint=2), checkpoint=Checkpoint(step=10)
    )
    first = changed(status.attempts[0], checkpoint_step=10)
    status = changed(status, attempts=[first, status.attempts[1]])
    gang = tuple(
        replace(failed(rank, "boom", checkpointStep=committed), attempt=1, name=f"tiny-1-{rank}")
        for rank in (0, 1)
    )
    decided = plan(seen(job(status), gang), later(1)).status
    assert decided.restarts is not None
    assert decided.restarts.since_checkpoint == count


@pytest.mark.parametrize(
    ("failure_class", "charge"),
    [
        ("UserError", Charge.APPLICATION),
        ("Infrastructure", Charge.INFRASTRUCTURE),
        ("Hang", Charge.APPLICATION),
    ],
)
def test_the_charge_is_on_record(failure_class: str, charge: Charge) -> None:
    gang = (failed(0, "x", failureClass=failure_class), failed(1, "y", failureClass=failure_class))
    decided = plan(seen(job(running()), gang), later(1)).status
    assert decided.attempts[0].charge is charge
    assert decided.attempts[0].node == "node1"


def test_the_job_fails_when_its_restarts_are_spent() -> None:
    status = job(running(), recovery={"maxRestarts": 0})
    decided = plan(seen(status, (pod(0, 0), failed(1, "boom"))), later(6)).status
    assert decided.phase is Phase.FAILED
    assert "recovery.maxRestarts" in (decided.failure.hint or "")  # type: ignore[union-attr]


def test_success_is_rank_0s_and_takes_its_results() -> None:
    done = (
        pod(0, 0, PodPhase.SUCCEEDED, termination=ended(complete(), 0, T0)),
        pod(0, 1, PodPhase.SUCCEEDED, termination=ended("", 0, T0)),
    )
    status = plan(seen(job(running()), done, report(step=19)), later(1)).status
    assert status.phase is Phase.SUCCEEDED
    assert status.results is not None
    assert status.results.perplexity == 13.5
    assert status.results.steps == 20
    assert status.progress is not None
    assert status.progress.step == 20
    assert status.condition("Complete").status == "True"  # type: ignore[union-attr]


def test_nothing_runs_on_under_a_finished_job_and_ended_pods_stay() -> None:
    final = running().model_copy(update={"phase": Phase.FAILED})
    pods = (pod(0, 0), failed(1, "boom"))
    assert [a.name for a in plan(seen(job(final), pods), T0).actions] == ["tiny-0-0"]  # type: ignore[union-attr]


def test_progress_is_told_in_words_and_not_too_often() -> None:
    both = (pod(0, 0), pod(0, 1))
    told = plan(
        seen(job(running()), both, report(tokens_per_second=41234.4, mfu=0.412, eta_seconds=5400)), T0
    ).status
    assert told.progress is not None
    assert told.progress.summary == "5/20"
    assert told.progress.percent_text == "25%"
    assert told.progress.eta_text == "1h30m"
    assert told.progress.tokens_per_second_text == "41234"
    assert told.progress.mfu == 0.412
    soon = plan(seen(job(told), both, report(step=6, at=later(2))), later(2))
    assert soon.status.progress == told.progress
    assert soon.requeue_after == pytest.approx(3)
    due = plan(seen(job(told), both, report(step=6, at=later(5))), later(5)).status.progress
    assert due is not None
    assert due.step == 6


@pytest.mark.parametrize("breaks", [False, True])
def test_what_was_held_back_is_told_at_the_end(breaks: bool) -> None:
    """Nothing is due any more: what was told a moment before a rank ended is on record with its end."""
    both = (pod(0, 0), pod(0, 1))
    told = plan(seen(job(running()), both, report(loss=3.0)), T0).status
    done = tuple(pod(0, r, PodPhase.SUCCEEDED, termination=ended("", 0, T0)) for r in (0, 1))
    gang = tuple(failed(r, "boom") for r in (0, 1)) if breaks else done
    last = plan(seen(job(told), gang, report(step=7, loss=2.5, at=later(1))), later(2)).status
    assert last.phase is (Phase.RESTARTING if breaks else Phase.SUCCEEDED)
    assert last.progress is not None
    assert (last.progress.step, last.progress.loss) == (7, 2.5)
    older = plan(seen(job(last), gang, report(step=6, loss=2.6, at=later(-9))), later(3)).status
    assert older.progress == last.progress


def test_a_checkpoint_never_goes_back() -> None:
    both = (pod(0, 0), pod(0, 1))
    status = running(checkpoint=Checkpoint(step=10))
    kept = plan(seen(job(status), both, report(checkpoint_step=5)), T0).status.checkpoint
    assert kept is not None
    assert kept.step == 10


def test_the_resumed_step_is_on_record() -> None:
    both = (pod(0, 0), pod(0, 1))
    said = report(resumed_step=10, resumed_note="from layout dp4 zero1 to dp2 zero1")
    status = plan(seen(job(running()), both, said), T0).status
    assert status.attempts[-1].resumed_step == 10
    assert status.attempts[-1].resumed_note == "from layout dp4 zero1 to dp2 zero1"


@pytest.mark.parametrize(
    ("kind", "phase"), [(RefusalKind.NAME_CONFLICT, Phase.STARTING), (RefusalKind.REJECTED, Phase.FAILED)]
)
def test_a_refused_pod_is_waited_for_or_ends_the_job(kind: RefusalKind, phase: Phase) -> None:
    started = plan(seen(job()), T0).status
    status = plan(seen(job(started), refusal=Refusal(kind, "because")), T0).status
    assert status.phase is phase
    if phase is Phase.STARTING:
        assert status.waiting is not None
        assert (status.waiting.reason, status.waiting.message) == ("NameConflict", "because")


def test_unschedulable_is_said_with_the_schedulers_words() -> None:
    started = plan(seen(job()), T0).status
    stuck = pod(0, 0, PodPhase.PENDING, hold=("Unschedulable", "0/2 nodes: Insufficient cpu"))
    waiting = plan(seen(job(started), (stuck, pod(0, 1))), T0).status.waiting
    assert waiting is not None
    assert waiting.reason == "Unschedulable"
    assert "Insufficient cpu" in waiting.message


def test_plan_is_at_rest_after_its_own_status() -> None:
    both = (pod(0, 0), pod(0, 1))
    observed: Observed = seen(job(running()), both, report())
    once = plan(observed, T0).status
    assert plan(replace(observed, job=job(once)), T0).status == once


@pytest.mark.parametrize(
    ("prepared", "total", "percent"),
    [(0, 1000, "0%"), (499, 1000, "49%"), (1000, 1000, "100%"), (2000, 1000, "100%"), (5, 0, None)],
)
def test_preparation_is_told_in_percent(prepared: int, total: int, percent: str | None) -> None:
    both = (pod(0, 0), pod(0, 1))
    figures: dict[str, Any] = {"prepared_bytes": prepared, "bytes_to_prepare": total, "eta_seconds": 90.0}
    said = report(step=None, total_steps=None, loss=None, stage=Stage.PREPARE, **figures)
    told = plan(seen(job(running()), both, said), T0).status.progress
    assert told is not None
    assert (told.summary, told.percent_text, told.eta_text) == ("prepare", percent, "1m30s")
    assert (told.prepared_bytes, told.bytes_to_prepare) == (prepared, total)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (90, "1m30s"), (600, "10m"), (5400, "1h30m"), (187_200, "2d4h")],
)
def test_durations_read_like_kubectls(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_progress_slows_down_with_age() -> None:
    assert [progress_interval(T0, later(s)) for s in (0, 119, 121, 601)] == [5.0, 5.0, 15.0, 60.0]
