"""Lives of jobs that are suspended and go on, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.jobs import complete
from harness.simulation.cluster_faults import lose_node
from harness.simulation.steps import BOOM, Expected, created, rank
from harness.simulation.world import World

from llmtrain_api import Outcome, TerminationMessage

SAVED = TerminationMessage(outcome=Outcome.INTERRUPTED, message="stopped", checkpoint_step=9, resumed_step=0)


def is_suspended(world: World) -> bool:
    return world.phase() == "Suspended"


def until_suspended(world: World) -> None:
    world.until("Suspended", partial(is_suspended, world))
    assert not [p for p in world.pods() if p["status"]["phase"] in ("Pending", "Running")], world.pods()


def begins_to_stop(world: World) -> None:
    """Suspend it, with no kubelet at work."""
    world.suspend(True)
    for _ in range(120):
        if world.phase() == "Suspending":
            return
        world.start_operator()
        world.run(1.0)
    raise AssertionError(f"never Suspending: {world.status()}")


def suspended_while_it_runs(world: World) -> None:
    world.apply()
    world.up()
    world.train(5, commit=True)
    world.suspend(True)
    until_suspended(world)
    conditions = {c["type"]: c["status"] for c in world.status()["conditions"]}
    assert conditions["Suspended"] == "True", conditions
    assert conditions["Running"] == "False", conditions
    for _ in range(30):
        world.turn(60.0)
    assert world.phase() == "Suspended", "it does not stand still"
    world.suspend(False)


def suspended_and_saved(world: World) -> None:
    """What the ranks say at their end is on record, though their pods are gone."""
    world.apply()
    world.up()
    begins_to_stop(world)
    world.run(2.0)
    for pod in world.gang():
        world.end(pod, 75, SAVED)
    world.run(10.0)
    until_suspended(world)
    known = world.status().get("checkpoint") or {}
    # an operator that was away meanwhile cannot know
    assert known.get("step") == 9 or world.timeline.faults["operator-death"], known
    assert world.status()["waiting"]["reason"] == "Suspended"
    world.suspend(False)


def suspended_for_good(world: World) -> None:
    world.apply()
    world.up()
    world.suspend(True)
    until_suspended(world)


def suspended_from_the_beginning(world: World) -> None:
    world.apply(suspend=True)
    until_suspended(world)
    for _ in range(5):
        world.turn(60.0)
    assert not world.monitor.created, "a pod of a suspended job"
    world.suspend(False)


def suspended_while_it_prepares(world: World) -> None:
    world.setup_hangs = True
    world.apply(prepare={"nodes": 1})
    world.until("Preparing", lambda: world.phase() == "Preparing" and bool(world.setup_pods()))
    world.suspend(True)
    until_suspended(world)
    world.setup_hangs = False
    world.suspend(False)


def suspended_while_it_inspects(world: World) -> None:
    world.setup_hangs = True
    world.apply(model={"name": "somebody/some-model"})
    world.until("Inspecting", lambda: world.phase() == "Inspecting" and bool(world.setup_pods()))
    world.suspend(True)
    until_suspended(world)
    world.setup_hangs = False
    world.suspend(False)


def suspended_while_no_node_is_free(world: World) -> None:
    world.apply()
    for name in ("tiny-0-0", "tiny-0-1"):
        world.hold(created(world, name))
    world.suspend(True)
    until_suspended(world)
    world.suspend(False)


def resumed_while_it_stops(world: World) -> None:
    """Ranks that were asked to save do not train on: the next attempt begins when they are gone."""
    world.apply()
    world.up()
    begins_to_stop(world)
    world.suspend(False)


def suspended_after_a_failure(world: World) -> None:
    """What had failed before is charged as a failure."""
    world.apply()
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.run(1.0)
    world.suspend(True)
    until_suspended(world)
    assert world.status()["restarts"]["application"] == 1, world.status()
    world.suspend(False)


def suspended_with_a_node_lost(world: World) -> None:
    """Nobody ends the pods there: they are removed by force."""
    world.apply()
    world.up()
    world.silent.add(rank(world, 1)["metadata"]["uid"])
    begins_to_stop(world)
    lose_node(world, rank(world, 1))
    world.until("Suspended", partial(is_suspended, world))
    world.suspend(False)


def done_while_it_stops(world: World) -> None:
    """The last step was done and exported within the grace time."""
    world.apply()
    world.up()
    begins_to_stop(world)
    world.end(rank(world, 1), 0, TerminationMessage(outcome=Outcome.COMPLETE))
    world.end(rank(world, 0), 0, complete())
    world.run(20.0)


def deleted_while_it_is_suspended(world: World) -> None:
    world.apply()
    world.up()
    world.suspend(True)
    until_suspended(world)
    world.delete_job()


SUSPEND_SCENARIOS: dict[Callable[[World], None], Expected] = {
    suspended_while_it_runs: Expected("Succeeded", pods=4),
    suspended_and_saved: Expected("Succeeded", pods=4),
    suspended_for_good: Expected("Suspended"),
    suspended_from_the_beginning: Expected("Succeeded"),
    suspended_while_it_prepares: Expected("Succeeded", setups=2),
    suspended_while_it_inspects: Expected("Succeeded", setups=2),
    suspended_while_no_node_is_free: Expected("Succeeded", pods=4),
    resumed_while_it_stops: Expected("Succeeded", pods=4),
    suspended_after_a_failure: Expected("Succeeded", 1, pods=None),
    suspended_with_a_node_lost: Expected("Succeeded", pods=4),
    done_while_it_stops: Expected("Succeeded"),
    deleted_while_it_is_suspended: Expected("Deleted"),
}
