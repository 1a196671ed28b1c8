"""Lives of jobs that may be ended for more urgent ones, told step by step."""

from __future__ import annotations

from collections.abc import Callable

from harness.simulation.queue_scenarios import asks, finish, pods_of, two_nodes, until_queued, until_runs
from harness.simulation.steps import Expected
from harness.simulation.virtual import at_once
from harness.simulation.world import World


def ranked(world: World) -> None:
    """Two nodes, and a class of priority above the default."""
    two_nodes(world)
    at_once(world.api.create("priorityclasses", "", {"metadata": {"name": "high"}, "value": 10}))
    world.run(1.0)


def urgent(world: World, nodes: int = 1) -> None:
    world.apply(nodes=nodes, name="urgent", priorityClassName="high", **asks(8))


def ended_for_a_more_urgent_one(world: World) -> None:
    """It saves, gives its nodes back, and goes on when the other is done."""
    ranked(world)
    world.apply(preemptible=True, **asks(8))
    world.up()
    world.train(5, commit=True)
    urgent(world, 2)
    until_runs(world, "urgent")
    status = world.status()
    assert status["phase"] == "Queued", status
    assert status["attempts"][0]["reason"] == "Preempted", status
    assert "job default/urgent of higher priority" in status["attempts"][0]["message"], status
    finish(world, "urgent")
    until_runs(world, "tiny")
    assert world.status()["restarts"]["total"] == 0, "nobody pays"


def who_did_not_agree_stays(world: World) -> None:
    ranked(world)
    world.apply(**asks(8))
    world.up()
    urgent(world, 2)
    until_queued(world, "urgent")
    for _ in range(30):
        world.turn(10.0)
    assert world.status()["attempt"] == 0, world.status()
    world.delete_job("urgent")


def nobody_is_ended_for_an_equal(world: World) -> None:
    ranked(world)
    world.apply(preemptible=True, **asks(8))
    world.up()
    world.apply(nodes=2, name="other", **asks(8))
    until_queued(world, "other")
    for _ in range(30):
        world.turn(10.0)
    assert world.status()["attempt"] == 0, world.status()
    world.delete_job("other")


def nobody_is_ended_in_vain(world: World) -> None:
    """One node is held by a job that stays, so two cannot be had."""
    ranked(world)
    world.apply(nodes=1, name="stays", **asks(8))
    until_runs(world, "stays")
    world.apply(nodes=1, preemptible=True, **asks(8))
    world.up()
    urgent(world, 2)
    until_queued(world, "urgent")
    for _ in range(30):
        world.turn(10.0)
    assert world.status()["attempt"] == 0, world.status()
    world.delete_job("urgent")
    finish(world, "stays")


def only_as_many_as_needed(world: World) -> None:
    """Of two that may go, the one that came last does."""
    ranked(world)
    world.apply(nodes=1, preemptible=True, **asks(8))
    world.up()
    world.turn()
    world.apply(nodes=1, name="last", preemptible=True, **asks(8))
    until_runs(world, "last")
    urgent(world, 1)
    until_runs(world, "urgent")
    assert (world.status()["attempt"], world.status("last")["phase"]) == (0, "Queued"), world.status()
    assert not [p for p in pods_of(world, "last") if p["status"]["phase"] == "Running"]
    finish(world, "urgent")
    until_runs(world, "last")
    finish(world, "last")


PREEMPT_SCENARIOS: dict[Callable[[World], None], Expected] = {
    ended_for_a_more_urgent_one: Expected("Succeeded", pods=6),
    who_did_not_agree_stays: Expected("Succeeded"),
    nobody_is_ended_for_an_equal: Expected("Succeeded"),
    nobody_is_ended_in_vain: Expected("Succeeded", pods=2),
    only_as_many_as_needed: Expected("Succeeded", pods=4),
}
