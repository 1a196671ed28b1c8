"""Lives of jobs that want the same nodes or the same quota, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.jobs import complete
from harness.simulation.podview import NAMESPACE, going, label, phase_of
from harness.simulation.steps import CONFIG, Expected, created, rank
from harness.simulation.virtual import at_once
from harness.simulation.world import STEPS, World

from llmtrain_api import Outcome, TerminationMessage
from llmtrain_api.names import LABEL_JOB, LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import Object


def asks(cpu: int) -> dict[str, Any]:
    return {"resources": {"cpu": str(cpu), "memory": "1Gi"}}


def two_nodes(world: World, cpu: int = 8) -> None:
    for name in ("n1", "n2"):
        world.set_node(name, str(cpu))


def pods_of(world: World, name: str) -> list[Object]:
    return [p for p in world.pods() if label(p, LABEL_JOB) == name]


def runs(world: World, name: str) -> bool:
    return world.status(name).get("phase") == "Running"


def until_runs(world: World, name: str) -> None:
    world.until(f"{name} runs", partial(runs, world, name))


def until_queued(world: World, name: str, reason: str = "WaitingForCapacity") -> None:
    def holds() -> bool:
        status = world.status(name)
        return status.get("phase") == "Queued" and status.get("waiting", {}).get("reason") == reason

    world.until(f"{name} is queued: {reason}", holds)


def finish(world: World, name: str) -> None:
    """Every pod of a job ends well, rank 0 last."""

    def over() -> bool:
        if world.status(name).get("phase") == "Succeeded":
            return True
        alive = [p for p in pods_of(world, name) if phase_of(p) == "Running" and not going(p)]
        for pod in sorted(alive, key=lambda p: label(p, LABEL_RANK), reverse=True):
            first = label(pod, LABEL_RANK) == "0"
            world.end(pod, 0, complete(STEPS) if first else TerminationMessage(outcome=Outcome.COMPLETE))
        return False

    world.until(f"{name} is done", over)


def edit(world: World, name: str, **fields: Any) -> None:
    job = world.job(name)
    assert job is not None
    world.api.replace_spec(PLURAL, NAMESPACE, name, {**job["spec"], **fields})


def two_that_do_not_fit_together(world: World) -> None:
    """Each asks for 60 % of both nodes: made at once, each would get one node and wait for ever."""
    two_nodes(world)
    world.apply(name="other", **asks(5))
    until_runs(world, "other")
    world.apply(**asks(5))
    until_queued(world, "tiny")
    assert not pods_of(world, "tiny")
    assert world.status()["waiting"]["position"] == 1, world.status()
    finish(world, "other")


def applied_at_the_same_time(world: World) -> None:
    two_nodes(world)
    world.apply(name="other", **asks(5))
    world.apply(**asks(5))
    until_runs(world, "other")
    until_queued(world, "tiny")
    finish(world, "other")


def asked_while_another_goes_on_record(world: World) -> None:
    """The write that lets the first one in is slow: not even who is more urgent gets its room meanwhile."""
    two_nodes(world)
    at_once(world.api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10}))
    world.run(1.0)
    world.chaos.slow_writes = 1
    world.apply(name="other", **asks(5))
    world.run(1.0)
    world.apply(priorityClassName="high", **asks(5))
    world.run(20.0)
    world.until("one of them runs", lambda: runs(world, "other") or runs(world, "tiny"))
    if runs(world, "tiny"):
        # the write was never made: then the more urgent one is first
        world.delete_job("other")
    else:
        until_queued(world, "tiny")
        finish(world, "other")


def let_in_before_its_pods_are_on_nodes(world: World) -> None:
    """What the first gang was promised is kept for it, though no pod of it has a node yet."""
    two_nodes(world)
    world.apply(name="other", **asks(5))
    created(world, "other-0-1")
    world.run(2.0)
    world.apply(**asks(5))
    world.start_operator()
    world.run(20.0)
    world.start_operator()
    world.run(20.0)
    assert not pods_of(world, "tiny")
    until_runs(world, "other")
    finish(world, "other")


def the_first_is_not_passed(world: World) -> None:
    """One node is free, and the first in the queue needs both."""
    two_nodes(world)
    world.apply(nodes=1, name="other", **asks(8))
    until_runs(world, "other")
    world.apply(**asks(8))
    until_queued(world, "tiny")
    world.apply(nodes=1, name="small", **asks(4))
    until_queued(world, "small", "BehindOthers")
    finish(world, "other")
    until_runs(world, "tiny")
    assert world.monitor.gangs.admitted == ["other", "tiny"], world.monitor.gangs.admitted
    world.delete_job("small")


TWENTY = [f"job{number:02}" for number in range(19)]
"""Beside the scenario's own job."""


def twenty_queue_and_start_together(world: World) -> None:
    """One job has both nodes; twenty wait for it in their order, and all of them start once it is over."""
    two_nodes(world, 10)
    world.apply(name="other", **asks(10))
    until_runs(world, "other")
    world.apply(nodes=1, **asks(1))
    for name in TWENTY:
        world.apply(nodes=1, name=name, **asks(1))
    names = ["tiny", *TWENTY]
    world.until("all of them queue", partial(all_queue, world, names))
    assert not [p for name in names for p in pods_of(world, name)]
    places = sorted(world.status(name)["waiting"]["position"] for name in names)
    assert places == list(range(1, 21)), places
    finish(world, "other")
    world.until("all of them run", lambda: all(runs(world, name) for name in names))
    for name in TWENTY:
        world.delete_job(name)


def all_queue(world: World, names: list[str]) -> bool:
    """Whether each of them has been told its place."""
    found = [world.status(name) for name in names]
    told = all("position" in (status.get("waiting") or {}) for status in found)
    return told and len({status["waiting"]["position"] for status in found}) == len(names)


def a_finished_job_holds_nothing(world: World) -> None:
    two_nodes(world)
    world.apply(name="other", **asks(8))
    until_runs(world, "other")
    world.apply(**asks(8))
    until_queued(world, "tiny")
    for pod in pods_of(world, "other"):
        world.end(pod, 78, CONFIG)
    until_runs(world, "tiny")


def a_suspended_job_holds_nothing(world: World) -> None:
    """And gets its room back only when there is some."""
    two_nodes(world)
    world.apply(name="other", **asks(8))
    until_runs(world, "other")
    world.apply(**asks(8))
    until_queued(world, "tiny")
    edit(world, "other", suspend=True)
    until_runs(world, "tiny")
    edit(world, "other", suspend=False)
    until_queued(world, "other")
    world.delete_job("other")


def deleted_in_the_queue(world: World) -> None:
    two_nodes(world)
    world.apply(name="other", **asks(8))
    until_runs(world, "other")
    world.apply(**asks(8))
    until_queued(world, "tiny")
    world.delete_job()
    finish(world, "other")


def edited_in_the_queue(world: World) -> None:
    """No attempt has begun, so the spec may change: it asks for what it needs now."""
    two_nodes(world)
    world.apply(nodes=1, name="other", **asks(8))
    until_runs(world, "other")
    world.apply(nodes=2, **asks(8))
    until_queued(world, "tiny")
    edit(world, "tiny", nodes=1)
    until_runs(world, "tiny")
    finish(world, "other")


def a_quota_lets_in_part_of_it(world: World) -> None:
    """No pod is made before the quota takes both."""
    body = {"metadata": {"name": "few"}, "status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}}
    at_once(world.api.create("resourcequotas", NAMESPACE, body))
    world.apply()
    until_queued(world, "tiny", "QuotaExceeded")
    for _ in range(5):
        world.turn(10.0)
    assert not world.monitor.created, world.monitor.created
    more = {"status": {"hard": {"pods": "2"}}}
    at_once(world.api.patch_status("resourcequotas", NAMESPACE, "few", more))


def it_does_not_get_up(world: World) -> None:
    """The scheduler finds no node for one pod, whatever the ledger says: the other does not hold one."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for _ in range(13):
        world.start_operator()
        world.run(50.0)
        world.finish_deletions()
    status = world.status()
    assert status["attempt"] == 1, status
    assert status["attempts"][0]["reason"] == "StartDeadline", status
    assert "no room" in status["attempts"][0]["message"], status
    names = {p["metadata"]["name"] for p in world.pods()}
    assert not names & {"tiny-0-0", "tiny-0-1"}, names


def nodes_may_not_be_listed(world: World) -> None:
    """Gangs start one after the other, and the scheduler's own word is told."""
    world.chaos.denied = frozenset({"nodes", "priorityclasses"})
    world.apply(name="other")
    created(world, "other-0-1")
    for pod in pods_of(world, "other"):
        world.hold(pod)
    for _ in range(4):
        world.start_operator()
        world.run(10.0)
    waiting = world.status("other").get("waiting", {})
    assert waiting.get("reason") == "Unschedulable", waiting
    world.apply()
    for _ in range(4):
        world.start_operator()
        world.run(10.0)
    assert world.status().get("waiting", {}).get("reason") == "WaitingForOthers", world.status()
    assert not pods_of(world, "tiny")
    until_runs(world, "other")
    until_runs(world, "tiny")
    finish(world, "other")


def a_rank_restarts_in_a_full_cluster(world: World) -> None:
    """Who restarts keeps its place: nobody in the queue takes it meanwhile."""
    two_nodes(world)
    world.apply(**asks(8))
    world.up()
    world.apply(nodes=1, name="other", **asks(8))
    until_queued(world, "other")
    world.delete_pod(rank(world, 1), 0)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1)
    until_runs(world, "tiny")
    world.delete_job("other")


def a_sidecar_of_what_prepared_holds_its_room(world: World) -> None:
    """It would run for ever on a node that its own gang needs."""
    two_nodes(world)
    world.sidecars = True
    world.apply(prepare={"nodes": 1}, **asks(8))
    world.up()


QUEUE_SCENARIOS: dict[Callable[[World], None], Expected] = {
    two_that_do_not_fit_together: Expected("Succeeded", pods=4),
    applied_at_the_same_time: Expected("Succeeded", pods=4),
    asked_while_another_goes_on_record: Expected("Succeeded", pods=None),
    let_in_before_its_pods_are_on_nodes: Expected("Succeeded", pods=4),
    twenty_queue_and_start_together: Expected("Succeeded", pods=22, every=7),
    the_first_is_not_passed: Expected("Succeeded", pods=3),
    a_finished_job_holds_nothing: Expected("Succeeded", pods=4),
    a_suspended_job_holds_nothing: Expected("Succeeded", pods=4),
    deleted_in_the_queue: Expected("Deleted"),
    edited_in_the_queue: Expected("Succeeded"),
    a_quota_lets_in_part_of_it: Expected("Succeeded"),
    it_does_not_get_up: Expected("Succeeded", pods=None),
    nodes_may_not_be_listed: Expected("Succeeded", pods=4),
    a_rank_restarts_in_a_full_cluster: Expected("Succeeded", 1, 4),
    a_sidecar_of_what_prepared_holds_its_room: Expected("Succeeded", setups=1),
}
