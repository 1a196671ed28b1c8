"""Lives of jobs that may have fewer nodes than they want, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.simulation.queue_scenarios import (
    asks,
    edit,
    finish,
    pods_of,
    two_nodes,
    until_queued,
    until_runs,
)
from harness.simulation.steps import BOOM, Expected, created, rank
from harness.simulation.virtual import at_once
from harness.simulation.world import World


def apply_elastic(world: World, nodes: int = 2, least: int = 1, **spec: Any) -> None:
    """One pod fills a node."""
    world.apply(nodes=nodes, minNodes=least, **asks(8), **spec)


def runs_with(world: World, pods: int) -> bool:
    workers = world.status().get("workers") or {}
    return world.phase() == "Running" and (workers["desired"], workers["ready"]) == (pods, pods)


def until_runs_with(world: World, pods: int, turns: int = 200) -> None:
    for _ in range(turns):
        if runs_with(world, pods):
            return
        world.turn(6.0)
    raise AssertionError(f"never with {pods}: {world.status()}")


def node_of(world: World, number: int) -> str:
    return str(rank(world, number)["spec"]["nodeName"])


def smaller_when_a_node_is_lost_and_larger_again(world: World) -> None:
    two_nodes(world)
    apply_elastic(world)
    world.up()
    world.train(5, commit=True)
    world.drop_node(node_of(world, 1))
    until_runs_with(world, 1)
    workers = world.status()["workers"]
    assert (workers["summary"], workers["wanted"]) == ("1/1 of 2", 2), workers
    assert world.status()["resolved"]["worldSize"] == 1
    world.return_nodes()
    until_runs_with(world, 2)
    status = world.status()
    assert "wanted" not in status["workers"], status["workers"]
    assert status["resolved"]["worldSize"] == 2
    assert status["restarts"]["total"] == 1, "to grow is no restart that anybody pays for"


def begins_with_what_there_is(world: World) -> None:
    two_nodes(world)
    world.drop_node("n2")
    apply_elastic(world)
    until_runs_with(world, 1)
    assert "room for 1 of 2 pods" in world.status()["workers"]["message"], world.status()


def waits_for_the_least(world: World) -> None:
    """One of three nodes is free, and two are the least: it is queued, and takes two when there are two."""
    two_nodes(world)
    world.set_node("n3", "8")
    world.apply(name="other", **asks(8))
    until_runs(world, "other")
    apply_elastic(world, nodes=3, least=2)
    until_queued(world, "tiny")
    assert "minNodes 2" in world.status()["waiting"]["message"], world.status()
    assert not pods_of(world, "tiny")
    finish(world, "other")
    until_runs_with(world, 3)


def queues_when_not_even_the_least_is_left(world: World) -> None:
    two_nodes(world)
    apply_elastic(world, nodes=2, least=2)
    world.up()
    edit(world, "tiny", nodes=3)
    world.drop_node(node_of(world, 1))
    until_queued(world, "tiny")
    world.return_nodes()
    until_runs_with(world, 2)


def a_person_wants_fewer(world: World) -> None:
    two_nodes(world)
    apply_elastic(world)
    world.up()
    edit(world, "tiny", nodes=1)
    until_runs_with(world, 1)


def a_person_wants_more(world: World) -> None:
    two_nodes(world)
    apply_elastic(world, nodes=1)
    world.up()
    edit(world, "tiny", nodes=2)
    until_runs_with(world, 2)


def part_of_it_does_not_get_up(world: World) -> None:
    """The scheduler finds no node for one pod, whatever the ledger says: then it begins with the other."""
    world.apply(minNodes=1)
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for _ in range(13):
        world.start_operator()
        world.run(50.0)
        world.finish_deletions()
    until_runs_with(world, 1)
    assert world.status()["attempts"][0]["nextNodes"] == 1, world.status()


def suspended_while_it_grows(world: World) -> None:
    two_nodes(world)
    world.drop_node("n2")
    apply_elastic(world)
    until_runs_with(world, 1)
    world.return_nodes()
    for _ in range(200):
        if world.status()["attempts"][-1].get("reason") == "Resized":
            break
        world.start_operator()
        world.run(10.0)
    world.suspend(True)
    world.until("Suspended", lambda: world.phase() == "Suspended")
    world.suspend(False)
    until_runs_with(world, 2)


def who_waits_is_before_who_grows(world: World) -> None:
    """A node comes back, and a job that came later waits for it: the one that runs stays small."""
    two_nodes(world)
    world.drop_node("n2")
    apply_elastic(world)
    until_runs_with(world, 1)
    world.apply(nodes=2, name="other", **asks(8))
    until_queued(world, "other")
    world.return_nodes()
    for _ in range(150):
        world.turn(6.0)
    assert runs_with(world, 1), world.status()
    edit(world, "other", nodes=1)
    until_runs(world, "other")
    assert runs_with(world, 1), world.status()
    finish(world, "other")
    until_runs_with(world, 2)


def room_is_kept_for_who_grows(world: World) -> None:
    """While its ranks save, another comes for the node that it is ended for."""
    two_nodes(world)
    world.drop_node("n2")
    apply_elastic(world)
    until_runs_with(world, 1)
    world.return_nodes()
    for _ in range(200):
        if world.status()["attempts"][-1].get("reason") == "Resized":
            break
        world.start_operator()
        world.run(10.0)
    world.apply(nodes=1, name="other", **asks(8))
    until_queued(world, "other")
    until_runs_with(world, 2)
    assert not pods_of(world, "other")
    world.delete_job("other")


def keeps_its_room_when_a_rank_fails(world: World) -> None:
    """Not even who is more urgent gets it meanwhile."""
    two_nodes(world)
    at_once(world.api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10}))
    apply_elastic(world)
    world.up()
    world.apply(nodes=1, name="other", priorityClassName="high", **asks(8))
    until_queued(world, "other")
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1)
    until_runs_with(world, 2)
    world.delete_job("other")


def a_pod_of_a_larger_gang_nobody_heard_of(world: World) -> None:
    """It is the job's own, though the gang that is to be made has no such rank."""
    two_nodes(world)
    world.chaos.unheard = "tiny-0-1"
    apply_elastic(world)
    world.delete_pod(created(world, "tiny-0-0"), 0)
    world.drop_node("n2")
    world.run(60.0)
    until_runs_with(world, 1)
    assert [p["metadata"]["name"] for p in world.pods()] == ["tiny-1-0"], world.pods()


ELASTIC_SCENARIOS: dict[Callable[[World], None], Expected] = {
    smaller_when_a_node_is_lost_and_larger_again: Expected("Succeeded", 1, 5),
    begins_with_what_there_is: Expected("Succeeded", pods=1),
    waits_for_the_least: Expected("Succeeded", pods=5),
    queues_when_not_even_the_least_is_left: Expected("Succeeded", 1, 4),
    a_person_wants_fewer: Expected("Succeeded", pods=3),
    a_person_wants_more: Expected("Succeeded", pods=3),
    part_of_it_does_not_get_up: Expected("Succeeded", pods=None),
    suspended_while_it_grows: Expected("Succeeded", pods=3),
    who_waits_is_before_who_grows: Expected("Succeeded", pods=4),
    room_is_kept_for_who_grows: Expected("Succeeded", pods=3),
    keeps_its_room_when_a_rank_fails: Expected("Succeeded", 1, 4),
    a_pod_of_a_larger_gang_nobody_heard_of: Expected("Succeeded", 1, None, blind=True),
}
