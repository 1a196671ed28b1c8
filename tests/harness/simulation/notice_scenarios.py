"""Lives of jobs of which somebody is told."""

from __future__ import annotations

from collections.abc import Callable

from harness.simulation.receiver import NOTIFY
from harness.simulation.steps import BOOM, CASCADE, CONFIG, Expected, rank
from harness.simulation.world import World


def told_of_all(world: World) -> None:
    world.apply(notify=[NOTIFY])
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.end(rank(world, 0), 1, CASCADE)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)


def told_once_it_answers(world: World) -> None:
    world.monitor.receiver.fails = 4
    world.apply(notify=[NOTIFY])


def told_after_it_is_on_record(world: World) -> None:
    """A write takes its time, and the receiver's first answer is lost."""
    world.monitor.receiver.loses = 1
    world.apply(notify=[NOTIFY])
    world.up()
    world.chaos.slow_writes = 2
    world.finish_gang()
    world.run(20.0)


def told_of_a_failure_and_a_pause(world: World) -> None:
    world.apply(notify=[NOTIFY])
    world.up()
    world.suspend(True)
    world.until("Suspended", lambda: world.phase() == "Suspended")
    world.suspend(False)
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    world.end(rank(world, 1), 1, CASCADE)


def told_before_it_is_deleted(world: World) -> None:
    world.apply(notify=[NOTIFY], ttlSecondsAfterFinished=0)
    world.up()
    world.monitor.receiver.fails = 3
    world.finish_gang()
    world.until("Deleted", lambda: world.phase() == "Deleted")


def told_that_it_is_refused(world: World) -> None:
    """Once for each reason, whatever else happens; then it is put right."""
    world.apply(notify=[NOTIFY], hostNetwork=True)
    world.until("told", lambda: "Delivered" in states(world))
    for _ in range(3):
        world.turn(30.0)
    assert len(world.status()["notifications"]) == 1
    world.edit(hostNetwork=False)


def given_up_at_once(world: World) -> None:
    world.monitor.receiver.refuses = True
    world.apply(notify=[NOTIFY])
    world.up()
    world.finish_gang()
    world.until("all is given up", lambda: states(world) == {"GivenUp"} and world.phase() == "Succeeded")
    if world.chaos.fatal is None:  # an Event is lost with the process that would post it
        world.until("it is said", lambda: given_up_events(world) == len(world.status()["notifications"]))


def given_up_in_time(world: World) -> None:
    """A receiver that never answers: the job ends as it would, and asking has an end."""
    world.monitor.receiver.hangs = True
    world.apply(notify=[NOTIFY])
    world.up()
    world.finish_gang()
    world.until("Succeeded", lambda: world.phase() == "Succeeded", turns=60)
    for _ in range(300):
        if states(world) == {"GivenUp"}:
            return
        world.turn(60.0)
    raise AssertionError(f"never given up: {world.status()['notifications']}")


def states(world: World) -> set[str]:
    return {one["state"] for one in world.status().get("notifications") or ()}


def given_up_events(world: World) -> int:
    reasons = [event["reason"] for event in world.api.all_of("events")]
    return reasons.count("NotificationGivenUp")


NOTICE_SCENARIOS: dict[Callable[[World], None], Expected] = {
    told_of_all: Expected("Succeeded", 1, 4),
    told_once_it_answers: Expected("Succeeded"),
    told_after_it_is_on_record: Expected("Succeeded"),
    told_of_a_failure_and_a_pause: Expected("Failed", 0, 4),
    told_before_it_is_deleted: Expected("Deleted"),
    told_that_it_is_refused: Expected("Succeeded"),
    given_up_at_once: Expected("Succeeded"),
    given_up_in_time: Expected("Succeeded"),
}
