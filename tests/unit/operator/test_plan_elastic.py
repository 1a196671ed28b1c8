"""A gang that may have fewer nodes than its job wants: its size, what its ranks are told, when it grows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from harness.jobs import SETTINGS, T0, job, later, pod, running, seen

from llmtrain_api import Attempt, Charge, EndReason, JobFile, JobStatus, Phase, changed
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.elastic import LOOK_SECONDS, seconds_to_grow
from llmtrain_operator.plan.events import events_between
from llmtrain_operator.plan.situation import look
from llmtrain_operator.types import Admission, CreateChild, CreatePod, DeletePod, Observed

WHY = "there was room for 1 of 2 pods"
SMALL = Admission(True, nodes=1, message=WHY)


def begun(answer: Admission = SMALL) -> JobStatus:
    return plan(replace(seen(job(minNodes=1)), admission=answer), T0).status


def small(**attempt: object) -> JobStatus:
    """One node of two, running since the beginning."""
    status = begun()
    record = changed(status.attempts[-1], created_at=T0, running_at=T0, **attempt)
    assert status.workers is not None
    return changed(
        status,
        phase=Phase.RUNNING,
        workers=changed(status.workers, ready=1, summary="1/1 of 2"),
        attempts=[record],
    )


def look_at(status: JobStatus, answer: Admission | None, **spec: object) -> Observed:
    fields = {"minNodes": 1} | spec
    return replace(seen(job(status, **fields), (pod(0, 0),)), admission=answer)


def test_it_begins_with_what_there_is_room_for_and_says_why() -> None:
    status = begun()
    assert status.workers is not None
    assert (status.workers.desired, status.workers.wanted) == (1, 2)
    assert (status.workers.summary, status.workers.message) == ("0/1 of 2", WHY)
    assert status.attempts[0].nodes == 1
    actions = plan(seen(job(status, minNodes=1)), T0).actions
    assert [a.manifest["metadata"]["name"] for a in actions if isinstance(a, CreatePod)] == ["tiny-0-0"]


def test_its_ranks_are_told_a_job_of_that_many_nodes_and_the_same_global_batch() -> None:
    whole, part = begun(Admission(True, nodes=2)), begun()
    assert whole.resolved is not None
    assert part.resolved is not None
    assert (whole.resolved.world_size, part.resolved.world_size) == (2, 1)
    assert whole.resolved.global_batch == part.resolved.global_batch
    assert part.resolved.parallelism is not None
    assert part.resolved.parallelism.world == 1
    actions = plan(seen(job(part, minNodes=1)), T0).actions
    [found] = [a for a in actions if isinstance(a, CreateChild) and a.resource == "configmaps"]
    told = JobFile.model_validate(json.loads(found.manifest["data"]["job.json"]))
    assert (told.spec.nodes, told.spec.min_nodes, told.layout.world) == (1, None, 1)
    assert told.spec.training.micro_batch_size == part.resolved.micro_batch


def test_without_fewest_nodes_no_answer_makes_a_gang_smaller() -> None:
    status = plan(replace(seen(job()), admission=SMALL), T0).status
    assert status.workers is not None
    assert (status.workers.desired, status.attempts[0].nodes) == (2, None)


@pytest.mark.parametrize("answer", [Admission(True, nodes=1), Admission(False)])
def test_it_runs_on_where_there_is_no_more_room_and_asks_again(answer: Admission) -> None:
    decided = plan(look_at(small(), answer), later(700))
    assert decided.status.attempts[-1].stopping_at is None
    assert decided.requeue_after is not None
    assert decided.requeue_after <= LOOK_SECONDS


def test_it_asks_for_more_only_once_it_has_run_for_a_while() -> None:
    soon = plan(look_at(small(), None), later(30))
    assert not soon.asks
    assert soon.requeue_after is not None
    assert soon.requeue_after <= 570
    assert plan(look_at(small(), None), later(601)).asks


def test_it_grows_from_a_checkpoint_and_nobody_pays() -> None:
    stops = plan(look_at(small(), Admission(True, nodes=2)), later(700)).status
    assert stops.attempts[-1].stopping_at == later(700)
    assert (stops.attempts[-1].reason, stops.attempts[-1].next_nodes) == (EndReason.RESIZED, 2)
    assert stops.waiting is not None
    assert "every rank saves a checkpoint" in stops.waiting.message
    [gone] = [a for a in plan(look_at(stops, None), later(701)).actions if isinstance(a, DeletePod)]
    assert gone.grace_seconds == SETTINGS.grace_seconds, "its time to save"
    following = plan(seen(job(stops, minNodes=1)), later(720)).status
    assert (following.attempt, following.phase) == (1, Phase.RESTARTING)
    assert following.attempts[0].charge is Charge.NOBODY
    assert following.restarts is not None
    assert following.restarts.total == 0
    asks = plan(replace(seen(job(following, minNodes=1)), admission=None), later(721))
    assert asks.asks, "the size of the next gang is for the queue to say"
    whole = replace(seen(job(following, minNodes=1)), admission=Admission(True, nodes=2))
    large = plan(whole, later(721)).status
    assert large.workers is not None
    assert (large.workers.desired, large.workers.wanted, large.attempts[-1].nodes) == (2, None, 2)
    assert [e.reason for e in events_between(following, large)] == ["Resized"]


def test_without_room_for_the_fewest_the_next_gang_queues() -> None:
    first = changed(running().attempts[0], nodes=2, ended_at=T0)
    status = running(
        phase=Phase.RESTARTING, attempt=1, attempts=[first, Attempt(number=1, started_at=T0)], failure=None
    )
    none = Admission(False, "WaitingForCapacity", "0 of 1 pods would find a node")
    decided = plan(replace(seen(job(status, minNodes=1)), admission=none), later(60))
    assert (decided.status.phase, decided.status.attempt, decided.actions) == (Phase.QUEUED, 1, ())
    assert decided.status.waiting is not None
    assert "0 of 1 pods" in decided.status.waiting.message


def test_a_gang_larger_than_the_job_wants_is_ended_at_once() -> None:
    status = running(attempts=[changed(running().attempts[0], nodes=2)])
    seen_now = replace(seen(job(status, nodes=1, minNodes=1), (pod(0, 0), pod(0, 1))), admission=None)
    decided = plan(seen_now, later(5))
    assert decided.status.attempts[-1].next_nodes == 1


def test_it_waits_longer_to_grow_after_each_gang_that_did_not_get_up() -> None:
    late = [
        changed(running().attempts[0], number=n, reason=EndReason.START_DEADLINE, ended_at=T0) for n in (0, 1)
    ]
    status = running(attempt=2, attempts=[*late, changed(running().attempts[0], number=2)])
    assert seconds_to_grow(look(seen(job(status)), T0)) == 4 * SETTINGS.grow_seconds


def test_a_pod_of_a_larger_gang_before_is_the_jobs_own() -> None:
    records = [
        changed(running().attempts[0], nodes=3, ended_at=T0),
        Attempt(number=1, started_at=T0, nodes=1),
    ]
    status = running(attempt=1, phase=Phase.RESTARTING, attempts=records)
    assert status.workers is not None
    status = changed(status, workers=changed(status.workers, desired=1))
    situation = look(seen(job(status, nodes=3, minNodes=1), (pod(0, 2), pod(1, 1), pod(0, 3))), T0)
    assert [p.name for p in situation.stale] == ["tiny-0-2"]
    assert not situation.current, "the new gang has no rank 1"
