"""Lives of gangs that have failed and whose pods are held, so that a person can look around in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from harness.simulation.elastic_scenarios import apply_elastic, node_of, until_runs_with
from harness.simulation.podview import NAMESPACE, label, phase_of
from harness.simulation.queue_scenarios import two_nodes
from harness.simulation.steps import BOOM, CASCADE, Expected, rank
from harness.simulation.suspend_scenarios import until_suspended
from harness.simulation.world import World

from llmtrain_api import ProgressReport, Stage, TerminationMessage
from llmtrain_api.messages import Held
from llmtrain_api.names import LABEL_ATTEMPT
from llmtrain_operator.types import JobRef

HOLD = {"holdSeconds": 3600}
END = {0: CASCADE, 1: BOOM}
"""What the nodes of a gang of two say, first and last."""


def waiting(world: World) -> dict[str, str]:
    found: dict[str, str] = world.status().get("waiting") or {}
    return found


def tells(world: World, message: TerminationMessage) -> None:
    """A launcher that holds its pod reports to the operator, if one is there."""
    job = world.job()
    assert job is not None
    if world.operator is None:
        return
    report = ProgressReport(
        job_uid=job["metadata"]["uid"],
        attempt=int(label(world.gang()[0], LABEL_ATTEMPT)),
        stage=Stage.WAIT,
        held=Held(until=world.clock() + timedelta(hours=1), message=message.message, cascade=message.cascade),
    )
    ref = JobRef(NAMESPACE, "tiny", job["metadata"]["uid"])
    if world.operator.book.record(ref, report, world.clock()):
        world.operator.queue.add((NAMESPACE, "tiny"))


def is_held(world: World) -> bool:
    return waiting(world).get("reason") == "HeldForDebugging"


def until_held(world: World, order: tuple[int, ...] = (1, 0)) -> None:
    """All nodes report again and again, as launchers do, until that is on record."""

    def holds() -> bool:
        for number in order:
            tells(world, END[number])
        return is_held(world) and "boom" in waiting(world)["message"]

    world.until("the hold is on record", holds)


def stays_held(world: World, seconds: float) -> None:
    """Nothing becomes of it, however long it lasts."""
    for _ in range(20):
        world.turn(seconds / 20)
        assert [phase_of(pod) for pod in world.gang()] == ["Running"] * 2, "a pod that is held has gone"
        assert world.phase() == "Running", world.status()
        assert is_held(world), world.status()
    assert len(world.status()["attempts"]) == 1, world.status()


def released(world: World) -> None:
    for number, message in END.items():
        world.end(rank(world, number), 1, message)


def held_and_released(world: World) -> None:
    world.apply(recovery=HOLD)
    world.up()
    until_held(world)
    stays_held(world, 3000.0)
    released(world)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)
    assert not is_held(world), "the next attempt is held, too"
    assert "boom" in world.status()["attempts"][0]["message"]


def held_while_operators_change(world: World) -> None:
    """The next one has no report, and finds the hold on record."""
    world.apply(recovery=HOLD)
    world.up()
    until_held(world, order=(0, 1))
    world.kill_operator()
    world.run(20.0)
    stays_held(world, 600.0)
    released(world)


def only_the_echo_is_released(world: World) -> None:
    """The rank that failed by itself ends a minute later, and is the root cause all the same."""
    world.apply(recovery=HOLD)
    world.up()
    until_held(world)
    world.end(rank(world, 0), 1, CASCADE)
    world.run(60.0)
    world.end(rank(world, 1), 1, BOOM)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)
    assert "boom" in world.status()["attempts"][0]["message"], world.status()


def held_until_a_limit(world: World) -> None:
    """Its time counts while it is held, and ends that: SIGTERM ends a launcher that holds."""
    world.apply(recovery=HOLD, activeDeadlineSeconds=1200)
    world.up()
    until_held(world)
    world.until("it is over", world.over, turns=2000)
    assert world.status()["failure"]["class"] == "DeadlineExceeded", world.status()
    assert world.status()["usage"]["runningSeconds"] >= 1200, world.status()


def held_and_suspended(world: World) -> None:
    world.apply(recovery=HOLD)
    world.up()
    until_held(world)
    world.suspend(True)
    until_suspended(world)
    assert not is_held(world), world.status()
    world.suspend(False)


def a_smaller_gang_is_held(world: World) -> None:
    """Room for more of it comes free, and it does not grow while somebody looks around."""
    two_nodes(world)
    apply_elastic(world, recovery=HOLD)
    world.up()
    world.drop_node(node_of(world, 1))
    until_runs_with(world, 1)
    world.return_nodes()

    def holds() -> bool:
        tells(world, BOOM)
        return is_held(world)

    world.until("the hold is on record", holds)
    for _ in range(40):
        world.turn(60.0)
        tells(world, BOOM)
        assert is_held(world), world.status()
    world.end(rank(world, 0), 1, BOOM)
    until_runs_with(world, 2)


HOLD_SCENARIOS: dict[Callable[[World], None], Expected] = {
    held_and_released: Expected("Succeeded", 1, 4),
    held_while_operators_change: Expected("Succeeded", 1, 4),
    only_the_echo_is_released: Expected("Succeeded", 1, 4),
    held_until_a_limit: Expected("Failed", every=3),
    held_and_suspended: Expected("Succeeded", 0, 4),
    a_smaller_gang_is_held: Expected("Succeeded", 2, None, every=3),
}
