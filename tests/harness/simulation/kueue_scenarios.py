"""Lives of jobs that wait in a queue of Kueue's, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.simulation.kueue import QUEUE, is_true, reserves
from harness.simulation.podview import NAMESPACE, going
from harness.simulation.queue_scenarios import asks, edit, finish, pods_of, runs, until_queued, until_runs
from harness.simulation.steps import BOOM, CONFIG, Expected, rank
from harness.simulation.virtual import at_once
from harness.simulation.world import World

from llmtrain_operator.kube.api import Object


def in_queue(cpu: int = 4, **more: Any) -> dict[str, Any]:
    return {"queueName": QUEUE, **asks(cpu), **more}


def workload(world: World, name: str) -> Object | None:
    return world.api.peek("workloads", NAMESPACE, name)


def until_gone(world: World, name: str) -> None:
    world.until(f"Workload {name} is gone", lambda: workload(world, name) is None)


def let_in_by_kueue(world: World) -> None:
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    held = workload(world, "tiny-0")
    assert held is not None
    world.until("Kueue hears that it is up", lambda: is_true(workload(world, "tiny-0") or {}, "PodsReady"))
    assert world.status()["placement"]["workload"] == "tiny-0", world.status()
    finish(world, "tiny")
    world.until("Kueue hears of its end", lambda: is_true(workload(world, "tiny-0") or {}, "Finished"))


def waits_for_quota(world: World) -> None:
    """What Kueue says is what the object says; the second starts when the first is done."""
    world.kueue.open(8)
    world.apply(name="other", **in_queue())
    until_runs(world, "other")
    world.apply(**in_queue())
    until_queued(world, "tiny", "WaitingForQuota")
    assert "8 more needed" in world.status()["waiting"]["message"], world.status()["waiting"]
    assert not pods_of(world, "tiny")
    finish(world, "other")


def no_such_queue(world: World) -> None:
    world.kueue.open(8)
    world.apply(**in_queue(queueName="nobodys"))
    until_queued(world, "tiny", "Misconfigured")
    edit(world, "tiny", queueName=QUEUE)


def preempted_and_back(world: World) -> None:
    """A more urgent one comes: ranks save, pods go, then the quota; it goes on when there is room again."""
    world.kueue.open(8)
    at_once(world.api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10}))
    world.apply(**in_queue())
    world.up()
    world.train(3, commit=True)
    world.run(6.0)
    world.apply(name="other", **in_queue(priorityClassName="high"))
    until_queued(world, "tiny", "WaitingForQuota")
    until_runs(world, "other")
    ended = world.status()["attempts"][0]
    assert (ended["reason"], ended["charge"]) == ("Preempted", "Nobody"), ended
    assert "Preempted to accommodate" in ended["message"], ended
    finish(world, "other")


def evicted_before_its_pods_are_made(world: World) -> None:
    world.kueue.open(8)
    world.apply(**in_queue())
    world.until("a placement is on record", lambda: "placement" in world.status())
    world.kueue.evict("tiny-0", "ClusterQueueStopped", "The ClusterQueue is stopped")
    world.run(30.0)
    until_gone(world, "tiny-0")


def deactivated_by_an_admin(world: World) -> None:
    """It gives its room back, and does not ask again until somebody allows it."""
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    world.kueue.deactivate("tiny-0")
    until_queued(world, "tiny", "Deactivated")
    until_gone(world, "tiny-0")
    for _ in range(10):
        world.turn(20.0)
    assert not pods_of(world, "tiny")
    world.until("the next one is there", lambda: workload(world, "tiny-1") is not None)
    world.kueue.deactivate("tiny-1", active=True)


def its_workload_is_deleted(world: World) -> None:
    """The room is gone, so the gang goes; it asks again."""
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    world.kueue.delete("tiny-0")
    world.until("it asks again", lambda: world.status().get("attempt") == 1)


def a_failure_keeps_the_room(world: World) -> None:
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    first = workload(world, "tiny-0")
    world.apply(name="other", **in_queue())
    until_queued(world, "other", "WaitingForQuota")
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1 runs", lambda: world.status()["attempt"] == 1 and runs(world, "tiny"))
    now = workload(world, "tiny-0")
    assert first is not None
    assert now is not None
    assert now["metadata"]["uid"] == first["metadata"]["uid"]
    world.delete_job("other")


def suspended_gives_its_room_back(world: World) -> None:
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    world.suspend(True)
    world.until("Suspended", lambda: world.phase() == "Suspended")
    until_gone(world, "tiny-0")
    assert "placement" not in world.status(), world.status()
    world.suspend(False)
    world.until("it asks again", lambda: workload(world, "tiny-1") is not None)


def edited_while_it_waits(world: World) -> None:
    """It asks for what it needs now; without a queue it asks Kueue no more."""
    world.kueue.open(4)
    world.apply(nodes=2, **in_queue())
    until_queued(world, "tiny", "WaitingForQuota")
    edit(world, "tiny", nodes=1)
    until_runs(world, "tiny")
    world.apply(nodes=1, name="other", **in_queue())
    until_queued(world, "other", "WaitingForQuota")
    other = world.job("other")
    assert other is not None
    spec = {name: value for name, value in other["spec"].items() if name != "queueName"}
    world.api.replace_spec("llmtrainingjobs", NAMESPACE, "other", spec)
    until_runs(world, "other")
    until_gone(world, "other-0")
    world.delete_job("other")


def checks_take_their_time(world: World) -> None:
    world.kueue.open(8)
    world.kueue.checks = "Pending"
    world.apply(**in_queue())
    until_queued(world, "tiny", "AdmissionChecks")
    assert not pods_of(world, "tiny")
    held = workload(world, "tiny-0")
    assert held is not None
    assert reserves(held)
    world.kueue.checks = "Ready"
    world.kueue._set(
        held, checks=[], admission=held["status"]["admission"], Admitted=("True", "Admitted", "now")
    )


def a_strangers_workload(world: World) -> None:
    """Somebody wrote a Workload of that name that asks for less: it counts for nothing."""
    world.kueue.open(8)
    world.kueue.stopped = True
    world.apply(**in_queue())
    world.until("it asks", lambda: workload(world, "tiny-0") is not None)
    asked = workload(world, "tiny-0")
    assert asked is not None
    [pods] = asked["spec"]["podSets"]
    world.api.replace_spec(
        "workloads", NAMESPACE, "tiny-0", {**asked["spec"], "podSets": [{**pods, "count": 1}]}
    )
    world.kueue.stopped = False
    world.up()
    held = workload(world, "tiny-0")
    assert held is not None
    assert held["spec"]["podSets"][0]["count"] == 2


def deleted_while_it_waits(world: World) -> None:
    world.kueue.open(4)
    world.apply(**in_queue())
    until_queued(world, "tiny", "WaitingForQuota")
    world.delete_job()
    until_gone(world, "tiny-0")


def evicted_with_ranks_that_take_long(world: World) -> None:
    """The quota stays theirs until the last pod is gone from the API."""
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    world.kueue.evict("tiny-0", "Preempted", "Preempted to accommodate a workload")
    for _ in range(60):
        world.start_operator()
        world.run(1.0)
        if all(map(going, pods_of(world, "tiny"))):
            break
    assert pods_of(world, "tiny")
    assert workload(world, "tiny-0") is not None
    world.until("it asks again", partial(_asks_again, world))


def _asks_again(world: World) -> bool:
    return world.status().get("attempt") == 1


def its_end_leaves_a_rank(world: World) -> None:
    """The job is over, and one of its ranks takes its time: Kueue hears of the end when that is gone."""
    world.kueue.open(8)
    world.apply(**in_queue())
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    world.until("Failed", lambda: world.phase() == "Failed")
    world.until("Kueue hears of its end", lambda: is_true(workload(world, "tiny-0") or {}, "Finished"))


KUEUE_SCENARIOS: dict[Callable[[World], None], Expected] = {
    let_in_by_kueue: Expected("Succeeded"),
    waits_for_quota: Expected("Succeeded", pods=4),
    no_such_queue: Expected("Succeeded"),
    preempted_and_back: Expected("Succeeded", pods=6),
    evicted_before_its_pods_are_made: Expected("Succeeded", pods=None),
    deactivated_by_an_admin: Expected("Succeeded", pods=4),
    its_workload_is_deleted: Expected("Succeeded", pods=4),
    a_failure_keeps_the_room: Expected("Succeeded", 1, 4),
    suspended_gives_its_room_back: Expected("Succeeded", pods=4),
    edited_while_it_waits: Expected("Succeeded", pods=2),
    checks_take_their_time: Expected("Succeeded"),
    a_strangers_workload: Expected("Succeeded"),
    deleted_while_it_waits: Expected("Deleted", pods=0),
    evicted_with_ranks_that_take_long: Expected("Succeeded", pods=4),
    its_end_leaves_a_rank: Expected("Failed"),
}
