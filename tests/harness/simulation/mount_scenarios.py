"""Lives of gangs whose volumes are not mounted at once: only Events of the pod tell it."""

from __future__ import annotations

from collections.abc import Callable

from harness.simulation.podview import NAMESPACE
from harness.simulation.steps import BOOM, Expected, created, rank
from harness.simulation.virtual import at_once
from harness.simulation.world import World

from llmtrain_operator.kube.api import Object

WHY = 'MountVolume.SetUp failed for volume "keys" : secret "keys" not found'
PULLED = {"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}


def says(world: World, pod: Object, reason: str, message: str) -> None:
    """An Event of the kubelet, about a pod."""
    meta = pod["metadata"]
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{reason.lower()}", "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "name": meta["name"], "uid": meta["uid"], "namespace": NAMESPACE},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "lastTimestamp": "2026-01-02T03:04:05Z",
    }
    at_once(world.api.create("events", NAMESPACE, body))


def stands(world: World, reason: str, words: str) -> None:
    """Until the status says why the pod stands, with no kubelet that starts it."""
    for _ in range(60):
        waiting = world.status().get("waiting") or {}
        if waiting.get("reason") == reason and words in waiting["message"]:
            return
        world.start_operator()
        world.run(2.0)
    raise AssertionError(f"{reason} is not told: {world.status()}")


def set_up(world: World) -> None:
    """One pod runs; the other has a node, which is at it."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    pod = created(world, "tiny-0-1")
    world.bind(pod)
    world.pod_status(pod, {"phase": "Pending", "containerStatuses": [PULLED]}, "is set up")
    stands(world, "ContainerCreating", "kubectl describe pod tiny-0-1")


def a_volume_is_not_mounted(world: World) -> None:
    set_up(world)
    says(world, created(world, "tiny-0-1"), "FailedMount", WHY)
    stands(world, "FailedMount", "create that Secret")


def a_volume_is_mounted_late(world: World) -> None:
    """What was in the way is not told any more."""
    a_volume_is_not_mounted(world)
    world.start(created(world, "tiny-0-1"))
    world.up()
    assert "waiting" not in world.status(), world.status()["waiting"]


def events_may_not_be_read(world: World) -> None:
    """An older role: nothing hangs on it, and what else happens is seen."""
    world.chaos.denied = frozenset({"events"})
    set_up(world)
    says(world, created(world, "tiny-0-1"), "FailedMount", WHY)
    world.run(60.0)
    stands(world, "ContainerCreating", "kubectl describe pod tiny-0-1")
    world.end(rank(world, 0), 1, BOOM)
    for _ in range(60):
        world.start_operator()
        world.run(2.0)
    assert world.status()["attempt"] == 1, world.status()
    world.chaos.denied = frozenset()


MOUNT_SCENARIOS: dict[Callable[[World], None], Expected] = {
    a_volume_is_not_mounted: Expected("Succeeded"),
    a_volume_is_mounted_late: Expected("Succeeded"),
    events_may_not_be_read: Expected("Succeeded", 1, 4),
}
