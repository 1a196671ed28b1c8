"""The operator dies after every single write of a scenario and starts cold: the end is the same."""

from __future__ import annotations

import pytest
from simulation.world import World

from llmtrain_api import FailureClass, Outcome, Phase, TerminationMessage

BOOM = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")


def straight(world: World) -> None:
    world.settle()


def rank_fails(world: World) -> None:
    up(world)
    world.end(f"tiny-{world.job.status.attempt}-1", 1, BOOM)
    world.settle()


def rank_force_deleted(world: World) -> None:
    up(world)
    name = f"tiny-{world.job.status.attempt}-0"
    world.delete(name, world.pods[name].uid, 0)
    world.settle()


def up(world: World) -> None:
    for _ in range(30):
        world.tick(1)
        for name in list(world.pods):
            world.start(name)
        world.reconcile()
        if world.job.status.phase is Phase.RUNNING:
            return
    raise AssertionError("did not come up")


SCENARIOS = {
    "straight": (straight, 0),
    "rank fails": (rank_fails, 1),
    "rank 0 force-deleted": (rank_force_deleted, 1),
}


class Dying(World):
    """Dies once, right before or after its n-th write, and is started again."""

    def __init__(self, fatal: int) -> None:
        super().__init__(2)
        self.fatal = fatal
        self.died = False

    def reconcile(self, crash_after: int | None = None) -> bool:
        if self.died or crash_after is not None:
            return super().reconcile(crash_after)
        before = self.writes
        left = max(self.fatal - before, 0)
        wrote = super().reconcile(left)
        if self.writes >= self.fatal:
            self.died = True
            return True
        return wrote


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_death_after_any_write_changes_nothing(name: str) -> None:
    scenario, restarts = SCENARIOS[name]
    whole = World(2)
    scenario(whole)
    tried = 0
    for fatal in range(whole.writes + 1):
        world = Dying(fatal)
        scenario(world)
        tried += 1
        status = world.job.status
        assert status.phase is Phase.SUCCEEDED
        assert status.restarts is not None
        assert status.restarts.total == restarts, f"dead after write {fatal}"
        assert world.pod_creates == 2 * (restarts + 1), f"dead after write {fatal}"
    assert tried > 5
    print(f"{name}: {tried} deaths")
