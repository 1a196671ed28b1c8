"""What real clusters do: nodes that vanish, strangers' pods, sidecars, refusals that pass, wrong clocks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from harness.control import Control, eventually
from harness.jobs import SETTINGS, T0, UID, complete, ended, job, later, pod, report, running, seen
from pydantic import ValidationError

from llmtrain_api import (
    Attempt,
    Charge,
    Checkpoint,
    FailureClass,
    JobStatus,
    Outcome,
    Phase,
    Progress,
    Restarts,
    TerminationMessage,
    changed,
)
from llmtrain_api.messages import Straggler
from llmtrain_api.names import API_VERSION, KIND, PLURAL
from llmtrain_operator.kube.pods import decode_pod
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.events import events_between
from llmtrain_operator.plan.refusals import classify, counted
from llmtrain_operator.plan.secrets import masked
from llmtrain_operator.plan.situation import is_pod_of, look
from llmtrain_operator.types import (
    CreatePod,
    DeletePod,
    Observed,
    Plan,
    Pod,
    PodPhase,
    Refusal,
    Termination,
)

ECHO = TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="Connection closed by peer")
HOUR = 3600.0


def restarting(began: float = 0.0) -> JobStatus:
    """Attempt 1 is on record, and nothing of it exists."""
    status = running(1, phase=Phase.RESTARTING)
    new = Attempt(number=1, started_at=later(began))
    return changed(status, attempts=[status.attempts[0], new])


def starting(**spec: Any) -> JobStatus:
    return plan(seen(job(**spec)), T0).status


def echo(attempt: int, rank: int, at: float = 0.0) -> Pod:
    return pod(attempt, rank, PodPhase.FAILED, termination=ended(ECHO, 1, later(at)))


def settled(observed: Observed, seconds: float) -> Plan:
    """What is decided ``seconds`` after the failure was first seen."""
    first = plan(observed, later(1))
    return plan(replace(observed, job=job(first.status)), later(1 + seconds))


# -- a node that is gone ----------------------------------------------------------------------------------


def test_a_peers_echo_waits_for_the_node_that_is_gone_and_the_node_is_named() -> None:
    pods = (echo(0, 0), pod(0, 1))
    waits = plan(seen(job(running()), pods), later(30))
    assert waits.status.attempt == 0, "an echo alone is no root cause while the other rank is silent"
    assert waits.status.attempts[0].failed_at == later(30)
    assert waits.requeue_after == 90
    silent = replace(pods[1], node_silent=True, ready=False)
    decided = plan(seen(job(waits.status), (pods[0], silent)), later(60)).status
    assert decided.attempt == 1
    assert decided.failure is not None
    assert decided.failure.failure_class is FailureClass.INFRASTRUCTURE
    assert decided.failure.node == "node2"
    assert "node node2 stopped answering" in decided.attempts[0].message  # type: ignore[operator]
    assert decided.restarts == Restarts(total=1, infrastructure=1)


def test_an_echo_is_believed_when_the_silent_rank_never_says_a_word() -> None:
    pods = (echo(0, 0), pod(0, 1))
    assert settled(seen(job(running()), pods), 89).status.attempt == 0
    decided = settled(seen(job(running()), pods), 91).status
    assert decided.failure is not None
    assert decided.failure.message == "Connection closed by peer"


def test_a_node_that_is_not_ready_for_a_moment_ends_nothing_and_is_told() -> None:
    pods = (pod(0, 0), replace(pod(0, 1), node_silent=True, ready=False))
    status = plan(seen(job(running()), pods), later(30)).status
    assert (status.attempt, status.phase) == (0, Phase.RUNNING)
    assert status.workers is not None
    assert status.workers.summary == "1/2", "a pod that is not Ready was counted as ready"
    assert status.waiting is not None
    assert status.waiting.reason == "NodeNotReady"
    assert "tiny-0-1 on node node2" in status.waiting.message


def test_a_pod_evicted_from_a_silent_node_is_not_given_time_to_save() -> None:
    gone = replace(pod(0, 1), node_silent=True, deletion_deadline=later(30))
    decided = plan(seen(job(running()), (pod(0, 0), gone)), later(1)).status
    assert decided.attempt in (0, 1)
    final = settled(seen(job(running()), (pod(0, 0), gone)), 1).status
    assert final.failure is not None
    assert "node2 stopped answering" in final.failure.message


def test_an_old_pod_that_never_goes_is_named_and_removed_by_force() -> None:
    status = restarting()
    stuck = replace(pod(0, 1), node_silent=True, deletion_deadline=later(1))
    soon = plan(seen(job(status), (stuck,)), later(30))
    assert soon.status.waiting is not None
    assert soon.status.waiting.reason == "OldPodsTerminating"
    assert "tiny-0-1 on node node2" in soon.status.waiting.message
    assert "node node2 does not answer" in soon.status.waiting.message
    assert all(a.grace_seconds > 0 for a in soon.actions if isinstance(a, DeletePod))
    forced = plan(seen(job(status), (stuck,)), later(62))
    assert forced.actions == (DeletePod("tiny-0-1", "uid-0-1", 0),)
    assert forced.requeue_after is not None


def test_no_pod_is_forced_on_the_word_of_one_clock() -> None:
    """The operator's clock is an hour ahead of the API server's: the grace time seems long over."""
    status = restarting(began=HOUR)
    going = replace(pod(0, 1), deletion_deadline=later(1))
    decided = plan(seen(job(status), (going,)), later(HOUR + 10))
    assert decided.actions == (DeletePod("tiny-0-1", "uid-0-1", 1),)


def test_a_pod_that_outlives_its_job_is_forced_too() -> None:
    record = Attempt(number=0, started_at=T0, created_at=T0, ended_at=later(5))
    status = running(phase=Phase.SUCCEEDED, attempts=[record])
    stuck = replace(pod(0, 1), deletion_deadline=later(35))
    assert plan(seen(job(status), (stuck,)), later(60)).actions == ()
    assert plan(seen(job(status), (stuck,)), later(96)).actions == (DeletePod("tiny-0-1", "uid-0-1", 0),)


def test_the_second_end_on_one_node_names_it_in_the_hint() -> None:
    status = running(1)
    first = changed(status.attempts[0], node="node2", charge=Charge.INFRASTRUCTURE)
    status = changed(status, attempts=[first, status.attempts[1]])
    gone = replace(pod(1, 1), node_silent=True, deletion_deadline=later(20))
    pods = (echo(1, 0, 20), gone)
    failure = plan(seen(job(status), pods), later(60)).status.failure
    assert failure is not None
    assert "node node2 has ended 2 attempts" in (failure.hint or "")
    assert "kubectl cordon node2" in (failure.hint or "")
    old = changed(first, ended_at=T0 - timedelta(hours=30))
    status = changed(status, attempts=[old, status.attempts[1]])
    failure = plan(seen(job(status), pods), later(60)).status.failure
    assert failure is not None
    assert failure.hint is None


def test_worker_pods_leave_a_node_that_is_gone_soon() -> None:
    of = job()
    spec = look(seen(of), T0).spec
    assert spec is not None
    tolerations = build_pod(of, spec, 0, 0, "image", SETTINGS)["spec"]["tolerations"]
    assert {t["key"]: t["tolerationSeconds"] for t in tolerations} == {
        "node.kubernetes.io/not-ready": 30,
        "node.kubernetes.io/unreachable": 30,
    }


@pytest.mark.parametrize(
    ("condition", "ready", "silent"),
    [
        ({"status": "True"}, True, False),
        ({"status": "False"}, False, True),
        ({"status": "Unknown", "reason": "NodeStatusUnknown"}, False, True),
        ({"status": "False", "reason": "ContainersNotReady"}, False, False),
        ({"status": "False", "reason": "PodCompleted"}, False, False),
    ],
)
def test_an_unready_pod_tells_whether_its_node_or_its_kubelet_says_so(
    condition: dict[str, str], ready: bool, silent: bool
) -> None:
    """The control plane gives no reason where it makes the pods of a silent node unready; a kubelet does."""
    found = raw(None, conditions=({"type": "Ready"} | condition,))
    assert (found.ready, found.node_silent) == (ready, silent)
    assert (raw(None).ready, raw(None).node_silent) == (True, False)


# -- one rank that never ran ------------------------------------------------------------------------------


def test_echoes_of_a_rank_that_never_ran_are_the_clusters_doing() -> None:
    pending = pod(0, 1, PodPhase.PENDING, hold=("Unschedulable", "0/5 nodes: insufficient nvidia.com/gpu"))
    decided = settled(seen(job(running()), (echo(0, 0), pending)), 91).status
    assert decided.failure is not None
    assert decided.failure.failure_class is FailureClass.INFRASTRUCTURE
    assert "rank 1 never ran" in decided.failure.message
    assert "insufficient nvidia.com/gpu" in decided.failure.message
    assert decided.attempts[0].charge is Charge.INFRASTRUCTURE


def test_what_a_rank_says_itself_counts_though_another_never_ran() -> None:
    boom = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")
    first = pod(0, 0, PodPhase.FAILED, termination=ended(boom, 1, T0))
    pending = pod(0, 1, PodPhase.PENDING, hold=("Unschedulable", "no room"))
    decided = plan(seen(job(running()), (first, pending)), later(10)).status
    assert decided.failure is not None
    assert decided.failure.message == "boom"


# -- who counts as a rank ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "attacker"},
        {"name": "evil"},
        {"job_uid": "another"},
        {"job": "another"},
        {"rank": 7, "name": "tiny-0-7"},
        {"rank": -1, "name": "tiny-0--1"},
    ],
)
def test_a_strangers_pod_decides_nothing_and_is_left_alone(changes: dict[str, Any]) -> None:
    forged = TerminationMessage(
        outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="pwned"
    )
    evil = replace(pod(0, 0, PodPhase.FAILED, termination=ended(forged, 78, T0)), uid="evil", **changes)
    of = job(running())
    assert not is_pod_of(of, evil)
    gang = (pod(0, 0), pod(0, 1))
    assert all(is_pod_of(of, p) for p in gang)
    assert plan(seen(of, (*gang, evil)), later(60)) == plan(seen(of, gang), later(60))
    old = job(restarting())
    assert not any(isinstance(a, DeletePod) for a in plan(seen(old, (evil,)), later(60)).actions)


def test_two_pods_of_one_rank_are_told_and_nothing_is_chosen() -> None:
    done = pod(0, 0, PodPhase.SUCCEEDED, termination=ended(complete(), 0, T0))
    for twins in ((done, replace(pod(0, 0), uid="x")), (replace(pod(0, 0), uid="x"), done)):
        decided = plan(seen(job(running()), (*twins, pod(0, 1))), later(60))
        assert decided.status.phase is Phase.RUNNING
        assert decided.actions == ()
        assert decided.requeue_after is not None
        assert decided.status.waiting is not None
        assert "tiny-0-0" in decided.status.waiting.message


# -- sidecars ---------------------------------------------------------------------------------------------


def raw(
    code: int | None,
    message: str = "",
    phase: str = "Running",
    sidecar: str = "a-proxy",
    conditions: tuple[dict[str, str], ...] = (),
) -> Pod:
    """A worker pod into which a webhook put another container, as the kubelet lists them: by name."""
    at = "2026-01-02T03:04:05Z"
    terminated = {"exitCode": code, "reason": "Error", "message": message, "finishedAt": at}
    statuses = [
        {"name": sidecar, "state": {"running": {"startedAt": at}}},
        {"name": "trainer", "state": {"running": {}} if code is None else {"terminated": terminated}},
    ]
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": "tiny", "uid": UID, "controller": True}
    meta = {"name": "tiny-0-0", "namespace": "default", "uid": "p", "resourceVersion": "9"}
    body = {
        "metadata": meta | {"ownerReferences": [owner]},
        "spec": {"nodeName": "n"},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": sorted(statuses, key=lambda s: str(s["name"])),
        },
    }
    return decode_pod(json.dumps(body).encode())


@pytest.mark.parametrize("sidecar", ["a-proxy", "zz-agent"])
def test_the_trainers_end_counts_whatever_else_runs_in_its_pod(sidecar: str) -> None:
    assert raw(None, sidecar=sidecar).phase is PodPhase.RUNNING
    message = '{"outcome": "Failed", "failureClass": "ConfigError", "message": "no such folder"}'
    failed = raw(78, message, sidecar=sidecar)
    assert (failed.phase, failed.others_run) == (PodPhase.FAILED, True)
    decided = plan(seen(job(running()), (failed, pod(0, 1))), later(60)).status
    assert decided.phase is Phase.FAILED
    assert decided.failure is not None
    assert (decided.failure.message, decided.failure.exit_code) == ("no such folder", 78)


def test_a_job_whose_trainers_are_done_ends_and_its_sidecars_go() -> None:
    done = raw(0, complete().model_dump_json(by_alias=True, exclude_none=True))
    gang = (done, pod(0, 1, PodPhase.SUCCEEDED, termination=ended("", 0, T0), others_run=True))
    status = plan(seen(job(running()), gang), later(1)).status
    assert status.phase is Phase.SUCCEEDED
    assert status.results is not None
    actions = plan(seen(job(status), gang), later(2)).actions
    assert [a.name for a in actions if isinstance(a, DeletePod)] == ["tiny-0-0", "tiny-0-1"]


def test_a_sidecar_that_fails_after_the_trainer_does_not_undo_its_success() -> None:
    assert raw(0, phase="Failed").phase is PodPhase.SUCCEEDED


# -- a no of the API server -------------------------------------------------------------------------------

RIGHTS = classify(403, 'pods is forbidden: User "op" cannot create resource "pods"')
ROOM = classify(403, 'pods "tiny-0-1" is forbidden: exceeded quota: few')
RULE = classify(422, 'Pod "tiny-0-0" is invalid: must be less than or equal to cpu limit of 500m')


def test_rights_that_are_gone_for_a_moment_are_waited_for_in_the_servers_words() -> None:
    status = plan(seen(job(starting()), refusal=RIGHTS), T0)
    assert status.status.phase is Phase.STARTING
    assert status.status.waiting is not None
    assert "cannot create resource" in status.status.waiting.message
    assert status.status.waiting.since == T0
    assert any(isinstance(a, CreatePod) for a in status.actions), "it is asked again"
    soon = plan(seen(job(status.status), refusal=RIGHTS), later(HOUR - 1)).status
    assert soon.phase is Phase.STARTING
    assert soon.waiting is not None
    assert soon.waiting.since == T0
    late = plan(seen(job(status.status), refusal=RIGHTS), later(HOUR)).status
    assert late.phase is Phase.FAILED
    assert late.failure is not None
    assert "helm upgrade" in (late.failure.hint or "")


@pytest.mark.parametrize("refusal", [RIGHTS, RULE])
def test_a_job_with_a_checkpoint_outwaits_every_refusal(refusal: Refusal) -> None:
    status = changed(starting(), checkpoint=Checkpoint(step=5))
    for hours in (0, 1, 100):
        status = plan(seen(job(status), refusal=refusal), later(hours * HOUR)).status
        assert status.phase is Phase.STARTING


def test_a_rule_over_the_pod_is_a_verdict_at_once_and_says_what_helps() -> None:
    status = plan(seen(job(starting()), refusal=RULE), T0).status
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert "LimitRange" in (status.failure.hint or "")


def test_a_webhook_that_is_down_is_told_after_the_second_time() -> None:
    first = counted(None, classify(500, 'failed calling webhook "v.policy"'))
    assert plan(seen(job(starting()), refusal=first), T0).status.waiting is None
    waiting = plan(seen(job(starting()), refusal=counted(first, first)), T0).status.waiting
    assert waiting is not None
    assert "failed calling webhook" in waiting.message
    assert counted(first, None) is None
    assert counted(first, RIGHTS) == RIGHTS


def test_part_of_a_gang_gives_its_place_back_at_no_cost() -> None:
    status = starting()
    decided = plan(seen(job(status), (pod(0, 0, PodPhase.PENDING),), refusal=ROOM), T0).status
    assert (decided.phase, decided.attempt) == (Phase.QUEUED, 1)
    assert decided.restarts == Restarts()
    assert decided.attempts[0].charge is Charge.NOBODY
    assert decided.waiting is not None
    assert "exceeded quota: few" in decided.waiting.message
    assert [event.reason for event in events_between(status, decided)] == ["Queued"]
    going = plan(seen(job(decided), (pod(0, 0, PodPhase.PENDING),), refusal=ROOM), T0)
    assert going.actions == (DeletePod("tiny-0-0", "uid-0-0", 1),)
    waits = plan(seen(job(decided)), T0)
    assert waits.requeue_after is not None
    assert 3.75 <= waits.requeue_after <= 6.25
    assert waits.status.waiting == decided.waiting
    let_in = plan(seen(job(decided)), later(6.3))
    assert (let_in.status.phase, let_in.actions) == (Phase.STARTING, ()), "on record before a pod is made"
    again = plan(seen(job(let_in.status)), later(6.3)).actions
    names = [a.manifest["metadata"]["name"] for a in again if isinstance(a, CreatePod)]
    assert names == ["tiny-1-0", "tiny-1-1"]


def test_a_started_job_whose_spec_cannot_be_read_says_so_and_is_looked_at_again() -> None:
    decided = plan(seen(job(starting(), dataset={"name": "builtin://gone"})), T0)
    assert decided.status.waiting is not None
    assert decided.status.waiting.reason == "SpecNotReadable"
    assert "dataset" in decided.status.waiting.message
    assert decided.requeue_after == 60


def test_an_output_that_was_taken_over_ends_the_job_at_once() -> None:
    message = TerminationMessage(
        outcome=Outcome.FENCED,
        failure_class=FailureClass.CONFIG_ERROR,
        message="pvc://c/x was taken over by job b",
    )
    taken = pod(0, 0, PodPhase.FAILED, termination=ended(message, 93, T0))
    decided = plan(seen(job(running()), (taken, echo(0, 1))), later(1)).status
    assert decided.phase is Phase.FAILED
    assert decided.failure is not None
    assert "taken over" in decided.failure.message


# -- clocks -----------------------------------------------------------------------------------------------


def test_a_kubelet_whose_clock_is_ahead_delays_neither_restart_nor_success() -> None:
    ahead = later(HOUR)
    boom = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")
    failed = pod(0, 1, PodPhase.FAILED, termination=ended(boom, 1, ahead))
    observed = seen(job(running()), (pod(0, 0), failed))
    assert settled(observed, 31).status.attempt == 1
    done = pod(0, 0, PodPhase.SUCCEEDED, termination=ended(complete(), 0, ahead))
    assert plan(seen(job(running()), (done, pod(0, 1))), later(11)).status.phase is Phase.SUCCEEDED


def test_an_own_clock_that_was_set_back_delays_no_gang() -> None:
    status = changed(starting(), restarts=Restarts(total=4, infrastructure=4))
    decided = plan(seen(job(status)), T0 - timedelta(hours=1))
    assert any(isinstance(a, CreatePod) for a in decided.actions)


# -- reports ----------------------------------------------------------------------------------------------

GANG = (pod(0, 0), pod(0, 1))


def test_reports_that_stop_are_told_and_nothing_is_done_about_it() -> None:
    last = report(at=T0)
    quiet = plan(seen(job(running()), GANG, last), later(299))
    assert quiet.status.condition("ReportingLost") is None
    assert quiet.requeue_after is not None
    assert quiet.requeue_after <= 60
    silent = plan(seen(job(quiet.status), GANG, last), later(301))
    lost = silent.status.condition("ReportingLost")
    assert lost is not None
    assert lost.status == "True"
    assert "https://op:8443" in lost.message
    assert silent.status.phase is Phase.RUNNING
    assert silent.actions == ()
    heard = plan(seen(job(silent.status), GANG, report(at=later(400))), later(401)).status
    assert heard.condition("ReportingLost").status == "False"  # type: ignore[union-attr]


def test_an_operator_that_was_away_counts_from_its_own_start() -> None:
    status = running(progress=Progress(stage="train", step=1, updated_at=T0))
    back = replace(seen(job(status), GANG), watched_since=later(HOUR))
    assert plan(back, later(HOUR + 10)).status.condition("ReportingLost") is None
    lost = plan(back, later(HOUR + 301)).status.condition("ReportingLost")
    assert lost is not None
    assert lost.status == "True"


def test_an_attempt_that_never_reported_has_lost_nothing() -> None:
    watched = replace(seen(job(running()), GANG), watched_since=T0)
    assert plan(watched, later(HOUR)).status.condition("ReportingLost") is None


SLOW = Straggler(rank=1, times=2.04, seconds=0.31)


def test_a_slow_rank_is_named_with_its_node_until_it_is_as_fast_as_the_others() -> None:
    even = plan(seen(job(running()), GANG, report()), later(1)).status
    assert even.condition("Straggler") is None
    slow = plan(seen(job(even), GANG, report(straggler=SLOW)), later(2)).status
    told = slow.condition("Straggler")
    assert told is not None
    assert (told.status, told.reason) == ("True", "SlowRank")
    assert "rank 1 (pod tiny-0-1, node node2) computes 2.0 times as long" in told.message
    assert slow.phase is Phase.RUNNING
    again = plan(seen(job(slow), GANG, report(straggler=changed(SLOW, times=2.5))), later(3)).status
    assert again.condition("Straggler") == told, "other figures of the same rank are no news"
    other = plan(seen(job(slow), GANG, report(straggler=changed(SLOW, rank=0))), later(3)).status
    assert "rank 0 (pod tiny-0-0, node node1)" in other.condition("Straggler").message  # type: ignore[union-attr]
    well = plan(seen(job(slow), GANG, report()), later(4)).status.condition("Straggler")
    assert well is not None
    assert (well.status, well.reason) == ("False", "Even")


def test_a_rank_that_cannot_be_is_no_straggler() -> None:
    """A report is a pod's word: it may say anything."""
    told = plan(seen(job(running()), GANG, report(straggler=changed(SLOW, rank=2))), later(1)).status
    assert told.condition("Straggler") is None


def test_the_next_attempt_has_no_straggler_yet() -> None:
    slow = plan(seen(job(running()), GANG, report(straggler=SLOW)), later(1)).status
    lost = (pod(0, 0), pod(0, 1, PodPhase.FAILED, termination=ended("", 137, T0)))
    after = plan(seen(job(slow), lost, report(straggler=SLOW)), later(60)).status
    after = plan(seen(job(after), lost, report(straggler=SLOW)), later(120)).status
    assert after.attempt == 1
    assert after.condition("Straggler").status == "False"  # type: ignore[union-attr]


# -- what goes into the status ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "wJalrXUtn"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNz"),
        ("huggingface hf_abcdefghijklmnopqrstuv", "hf_abcdefghij"),
        ("https://user:hunter22@host/x", "hunter22"),
        ("{'api_key': 'sk-live-0123456789abcdefghij'}", "0123456789abc"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "eyJzdWIiOiIx"),
    ],
)
def test_obvious_secrets_do_not_reach_the_status(text: str, secret: str) -> None:
    killed = pod(0, 0, PodPhase.FAILED, termination=ended(f"Traceback\n{text}", 1, T0))
    failure = plan(seen(job(running()), (killed, echo(0, 1))), later(10)).status.failure
    assert failure is not None
    assert failure.log_tail is not None
    assert secret not in failure.log_tail
    assert "Traceback" in failure.log_tail


def test_ordinary_logs_are_left_as_they_are() -> None:
    text = "step 10 loss 3.2 tokens_per_second=41234 lr 3e-4\nhttps://host:8443/v1\ntokenizer: bpe"
    assert masked(text) == text


def test_odd_numbers_of_a_pod_neither_raise_nor_land_in_the_status() -> None:
    odd = Termination(
        10**22,
        "Error",
        '{"outcome": "Failed", "exitCode": 10000000000000000000000, "checkpointStep": -1, "resumedStep": -7}',
        T0,
    )
    decided = plan(seen(job(running()), (pod(0, 0, PodPhase.FAILED, termination=odd), echo(0, 1))), later(10))
    assert decided.status.failure is not None
    assert decided.status.failure.exit_code is None
    last = report(step=7)
    for fields in ({"eta_seconds": 1e300}, {"step": 10**30}, {"loss": 1e300, "tokens_per_second": 1e300}):
        with pytest.raises(ValidationError):
            changed(last.report, **fields)


def test_mounts_that_hang_say_where_to_look() -> None:
    held = pod(0, 0, PodPhase.PENDING, hold=("ContainerCreating", "the kubelet is at it"))
    waiting = plan(seen(job(starting()), (held, pod(0, 1))), T0).status.waiting
    assert waiting is not None
    assert "kubectl describe pod tiny-0-0 -n default" in waiting.message
    assert waiting.reason == "ContainerCreating"


async def test_a_status_that_cannot_be_read_is_told_and_looked_at_again() -> None:
    """Of another version of the operator, say. Its pods run on, and nothing is decided about them."""
    async with Control(MemoryApi()).up() as control:
        await control.apply()
        await control.bring_up("tiny-0-0", "tiny-0-1")
        patch = {"status": {"phase": "Hibernating"}}
        await control.memory.patch_status(PLURAL, "default", "tiny", patch)
        waiting = await eventually("it is told", lambda: control.status().get("waiting"))
        assert "status.phase" in waiting["message"]
        assert set(control.pods()) == {"tiny-0-0", "tiny-0-1"}
        await control.memory.patch_status(PLURAL, "default", "tiny", {"status": {"phase": "Running"}})
        await eventually("and no more is told", lambda: control.status().get("waiting") is None)
