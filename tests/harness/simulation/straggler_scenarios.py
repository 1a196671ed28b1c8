"""Lives of gangs in which one rank is slower than the others."""

from __future__ import annotations

from collections.abc import Callable

from harness.simulation.steps import BOOM, CASCADE, Expected, rank
from harness.simulation.world import World

from llmtrain_api.messages import Straggler

SLOW = Straggler(rank=1, times=2.0, seconds=0.5)


def straggler(world: World) -> dict[str, str]:
    """The condition; empty where there is none."""
    return next((c for c in world.status().get("conditions", []) if c["type"] == "Straggler"), {})


def trains_until(world: World, slow: Straggler | None, truth: str) -> None:
    """Reports come in, also where an operator's death lost one, until the condition says so."""

    def holds() -> bool:
        world.train(0, commit=False, straggler=slow)
        return straggler(world).get("status") == truth

    world.until(f"Straggler is {truth}", holds)


def a_rank_is_slow_for_a_while(world: World) -> None:
    world.apply()
    world.up()
    trains_until(world, SLOW, "True")
    node = rank(world, 1)["spec"]["nodeName"]
    assert node in straggler(world)["message"], straggler(world)
    trains_until(world, None, "False")


def a_slow_rank_fails(world: World) -> None:
    """Of the next attempt's ranks nobody knows yet."""
    world.apply()
    world.up()
    trains_until(world, SLOW, "True")
    world.end(rank(world, 1), 1, BOOM)
    world.end(rank(world, 0), 1, CASCADE)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)
    assert straggler(world)["status"] == "False", straggler(world)


STRAGGLER_SCENARIOS: dict[Callable[[World], None], Expected] = {
    a_rank_is_slow_for_a_while: Expected("Succeeded"),
    a_slow_rank_fails: Expected("Succeeded", 1, 4),
}
