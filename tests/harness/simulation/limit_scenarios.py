"""Lives of jobs that are limited, that go by themselves, and that are tried again, told step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from harness.simulation.steps import BOOM, CONFIG, Expected, created, rank
from harness.simulation.world import World


def until(world: World, phase: str, seconds: float = 1.0) -> None:
    """Turns of that many seconds until the job is there."""
    for _ in range(200):
        if world.phase() == phase:
            return
        world.turn(seconds)
    raise AssertionError(f"never {phase}: {world.status()}")


def failed_as(world: World, name: str) -> dict[str, Any]:
    until(world, "Failed", 5.0)
    failure: dict[str, Any] = world.status()["failure"]
    assert failure["class"] == name, failure
    assert world.status()["attempts"][-1]["charge"] == "Nobody", world.status()["attempts"]
    return failure


def deadline(world: World) -> None:
    world.apply(activeDeadlineSeconds=100)
    world.up()
    world.train(5, commit=True)
    began = world.now()
    failed_as(world, "DeadlineExceeded")
    assert world.now() - began >= 99.0 - 24.0, "it had less time than it may have"
    assert world.now() - began <= 300.0, "nobody looked when it was due"
    assert world.status()["attempts"][-1]["reason"] == "ActiveDeadline", world.status()


def deadline_of_two_attempts(world: World) -> None:
    world.apply(activeDeadlineSeconds=100)
    world.up()
    for _ in range(6):
        world.turn(10.0)
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1)
    until(world, "Running")
    failed_as(world, "DeadlineExceeded")
    last = world.status()["attempts"][-1]
    ran, asked = (datetime.fromisoformat(last[name]) for name in ("runningAt", "stoppingAt"))
    assert (asked - ran).total_seconds() < 90.0, "the first attempt's time is not counted"
    assert 100 <= world.status()["usage"]["runningSeconds"] < 200, world.status()["usage"]


def deadline_and_suspended(world: World) -> None:
    """Time without pods is not counted."""
    world.apply(activeDeadlineSeconds=400)
    world.up()
    world.suspend(True)
    until(world, "Suspended")
    for _ in range(10):
        world.turn(60.0)
    world.suspend(False)
    until(world, "Running")
    assert world.phase() == "Running"


def deadline_is_raised(world: World) -> None:
    world.apply(activeDeadlineSeconds=100)
    world.up()
    world.edit(activeDeadlineSeconds=100_000)
    for _ in range(4):
        world.turn(60.0)
    assert world.phase() == "Running", world.status()


def does_not_start_in_time(world: World) -> None:
    world.apply(startTimeoutSeconds=120)
    for name in ("tiny-0-0", "tiny-0-1"):
        world.hold(created(world, name))
    for _ in range(60):
        world.start_operator()
        world.run(5.0)
    failure = failed_as(world, "DeadlineExceeded")
    assert "not all 2 pods of attempt 0 ran within 120s: Unschedulable" in failure["message"], failure


def starts_in_time(world: World) -> None:
    world.apply(startTimeoutSeconds=120)
    world.up()
    for _ in range(5):
        world.turn(60.0)


def gpu_hours(world: World) -> None:
    """Two GPUs for 90 s."""
    world.apply(gpusPerNode=1, resources={"memory": "32Gi"}, prepare={"nodes": 0}, limits={"gpuHours": 0.05})
    world.up()
    world.train(5, commit=True)
    failure = failed_as(world, "BudgetExceeded")
    assert "limits.gpuHours" in failure["message"], failure
    assert world.status()["usage"]["gpuSeconds"] >= 180, world.status()["usage"]


def goes_after_its_time(world: World) -> None:
    world.apply(ttlSecondsAfterFinished=300)
    world.up()
    world.finish_gang()
    until(world, "Deleted", 10.0)


def leaves_no_pods(world: World) -> None:
    world.apply(keepPods="never")
    world.up()
    world.finish_gang()
    until(world, "Succeeded")
    for _ in range(60):
        if not world.pods():
            return
        world.turn()
    raise AssertionError(f"pods stay: {[p['metadata']['name'] for p in world.pods()]}")


def tried_again(world: World) -> None:
    world.apply()
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    until(world, "Failed")
    world.rerun("the file is there now")
    until(world, "Running")
    assert world.status()["attempt"] == 1
    assert {c["type"]: c["status"] for c in world.status()["conditions"]}["Failed"] == "False"


def tried_again_after_success(world: World) -> None:
    world.apply()
    world.up()
    world.finish_gang()
    until(world, "Succeeded")
    world.rerun("once more")
    until(world, "Running")


def tried_again_before_the_gang(world: World) -> None:
    world.setup_hangs = True
    world.apply(prepare={"nodes": 1})
    world.until("Preparing", lambda: any(p["status"]["phase"] == "Running" for p in world.setup_pods()))
    world.end(world.setup_pods()[0], 78, CONFIG)
    until(world, "Failed")
    world.setup_hangs = False
    world.rerun("the file is there now")
    until(world, "Running")


def a_rerun_that_nobody_needs(world: World) -> None:
    """Asked for while it runs: the failure that follows is not answered with a start."""
    world.apply()
    world.up()
    world.rerun("again")
    world.until("noted", lambda: world.status().get("rerun") == "again")
    world.end(rank(world, 0), 78, CONFIG)
    until(world, "Failed")


LIMIT_SCENARIOS: dict[Callable[[World], None], Expected] = {
    deadline: Expected("Failed"),
    deadline_of_two_attempts: Expected("Failed", 1, 4),
    deadline_and_suspended: Expected("Succeeded", pods=4),
    deadline_is_raised: Expected("Succeeded"),
    does_not_start_in_time: Expected("Failed"),
    starts_in_time: Expected("Succeeded"),
    gpu_hours: Expected("Failed"),
    goes_after_its_time: Expected("Deleted"),
    leaves_no_pods: Expected("Succeeded"),
    tried_again: Expected("Succeeded", pods=4),
    tried_again_after_success: Expected("Succeeded", pods=4),
    tried_again_before_the_gang: Expected("Succeeded", setups=2),
    a_rerun_that_nobody_needs: Expected("Failed"),
}
