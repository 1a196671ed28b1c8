"""Every scenario, struck at every write: the operator dies before it or after it, or the API fails it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

from harness.simulation.monitor import Broken
from harness.simulation.quiet import silence
from harness.simulation.scenarios import SCENARIOS, Expected
from harness.simulation.world import World

FATES = ("before", "after", "conflict", "server-error", "answer-lost")


@dataclass
class Swept:
    """What a sweep came to."""

    deaths: int = 0
    faults: int = 0
    failures: list[str] = field(default_factory=list)


def play(scenario: Callable[[World], None], fate: tuple[int, str] | None) -> World:
    """One scenario to its end, with that fate for its n-th write.

    Raises:
        AssertionError: an invariant does not hold, or it ends otherwise than expected.
    """
    random.seed(1)
    world = World()
    try:
        world.chaos.fatal = fate
        world.start_operator()
        scenario(world)
        for _ in range(3):
            world.turn()
        world.settle(fate)
        judge(world, SCENARIOS[scenario])
        if wrong := world.monitor.receiver.wrong(struck=fate is not None):
            raise Broken(wrong)
    except AssertionError as error:
        error.timeline = world.timeline  # type: ignore[attr-defined]
        raise
    finally:
        world.close()
    return world


def judge(world: World, expected: Expected) -> None:
    """The end is the same as without a fault."""
    status = world.status()
    if world.phase() != expected.phase:
        raise Broken(f"ended as {world.phase()}, not {expected.phase}")
    if expected.blind and world.monitor.created_again_blindly:
        return
    restarts = (status.get("restarts") or {}).get("total", 0)
    if expected.phase not in ("Deleted", "Pending") and restarts != expected.restarts:
        raise Broken(f"{restarts} restarts on record, not {expected.restarts}")
    if len(world.monitor.setup.created) != expected.setups:
        raise Broken(f"{len(world.monitor.setup.created)} pods before the gang, not {expected.setups}")
    if expected.pods is not None and len(world.monitor.created) != expected.pods:
        raise Broken(f"{len(world.monitor.created)} pods created, not {expected.pods}")
    if world.monitor.created_again_blindly:
        raise Broken("a pod was created twice")


def sweep(scenario: Callable[[World], None], fates: tuple[str, ...] = FATES, in_turns: bool = False) -> Swept:
    """Those fates at all writes of one scenario: each at every write, or in turns one at each that counts."""
    silence()
    found = Swept()
    every = SCENARIOS[scenario].every if in_turns else 1
    writes = range(1, play(scenario, None).chaos.writes + 1, every)
    turns = ((number, fates[number % len(fates)]) for number in writes)
    for number, fate in turns if in_turns else product(writes, fates):
        try:
            play(scenario, (number, fate))
        except AssertionError as error:
            page = error.timeline.page()  # type: ignore[attr-defined]
            found.failures.append(f"{page}\n\n{scenario.__name__}, write {number}, {fate}: {error}")
        if fate in ("before", "after"):
            found.deaths += 1
        else:
            found.faults += 1
    return found
