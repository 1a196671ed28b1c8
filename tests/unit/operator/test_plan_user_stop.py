"""A person stopped everything and starts it again: what `plan` makes of it."""

from __future__ import annotations

from dataclasses import replace

from harness.jobs import SETTINGS, T0, complete, ended, job, later, pod, running, seen

from llmtrain_api import Charge, Outcome, Phase, Restarts, TerminationMessage
from llmtrain_operator.plan import plan
from llmtrain_operator.types import CreatePod, PlanSettings, PodPhase

INTERRUPTED = TerminationMessage(outcome=Outcome.INTERRUPTED, checkpoint_step=7, resumed_step=0)


def stopped_with(**changes: object) -> PlanSettings:
    return replace(SETTINGS, **changes)  # type: ignore[arg-type]


def test_an_attempt_that_was_stopped_on_request_costs_nothing() -> None:
    pods = tuple(pod(2, rank, PodPhase.FAILED, termination=ended(INTERRUPTED, 75, T0)) for rank in (0, 1))
    of = seen(job(running(2)), pods)
    decided = plan(replace(of, interrupted_attempt=2), later(1)).status
    assert (decided.phase, decided.attempt, decided.failure) == (Phase.STARTING, 3, None)
    assert decided.restarts == Restarts(total=2), "a stop on request was counted as a restart"
    assert decided.checkpoint is not None
    assert decided.checkpoint.step == 7
    stopped = decided.attempts[2]
    assert (stopped.charge, stopped.failure_class, stopped.message) == (
        Charge.NOBODY,
        None,
        "stopped on request",
    )
    again = plan(replace(seen(job(decided), pods), interrupted_attempt=2), later(1))
    assert again.status.attempt == 3


def test_what_a_dead_runner_left_goes_on_without_a_failure() -> None:
    of = replace(seen(job(running(0))), interrupted_attempt=0)
    assert plan(of, T0).status.restarts == Restarts(total=0)
    counted = plan(seen(job(running(0))), T0)
    assert counted.status.restarts == Restarts(total=1, infrastructure=1), "in a cluster these pods are lost"


def test_a_job_that_succeeded_while_it_was_stopped_has_succeeded() -> None:
    pods = tuple(pod(0, rank, PodPhase.SUCCEEDED, termination=ended(complete(), 0, T0)) for rank in (0, 1))
    of = replace(seen(job(running(0)), pods), interrupted_attempt=0)
    assert plan(of, T0).status.phase is Phase.SUCCEEDED


def test_a_folder_of_this_machine_is_an_output_where_the_settings_say_so() -> None:
    local = job(output={"uri": "file:///data/x"})
    assert plan(seen(local), T0).status.attempt is None
    started = plan(replace(seen(local), settings=stopped_with(file_outputs=True)), T0).status
    assert started.attempt == 0
    created = plan(replace(seen(job(started, output={"uri": "file:///data/x"})), settings=SETTINGS), T0)
    pods = [a.manifest for a in created.actions if isinstance(a, CreatePod)]
    assert all(v["name"] != "output" for p in pods for v in p["spec"]["volumes"])


def test_a_stop_while_the_gang_was_created_is_no_failure_either() -> None:
    half = plan(seen(job()), T0).status
    pods = (pod(0, 0, PodPhase.FAILED, termination=ended(INTERRUPTED, 75, T0)),)
    decided = plan(replace(seen(job(half), pods), interrupted_attempt=0), T0).status
    assert (decided.attempt, decided.restarts) == (1, Restarts())
    untouched = plan(replace(seen(job(half)), interrupted_attempt=0), T0)
    assert untouched.status.attempt == 0
    assert any(isinstance(action, CreatePod) for action in untouched.actions)
