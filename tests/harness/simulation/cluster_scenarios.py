"""Lives on a cluster that misbehaves, told step by step."""

from __future__ import annotations

from collections.abc import Callable

from harness.jobs import complete
from harness.simulation.cluster_faults import (
    STRANGERS,
    lose_node,
    rights_are_gone,
    stranger,
    webhook_is_down,
)
from harness.simulation.steps import BOOM, CASCADE, CONFIG, Expected, created, rank
from harness.simulation.world import World

from llmtrain_operator.kube.api import ApiError, Object


def a_node_loses_its_power(world: World) -> None:
    """The peer sees its connection close long before the control plane gives up on the node."""
    world.apply()
    world.up()
    lost, peer = rank(world, 1), rank(world, 0)
    world.silent.add(lost["metadata"]["uid"])
    world.end(peer, 1, CASCADE)
    world.run(50.0)
    lose_node(world, lost)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)
    ended = world.status()["attempts"][0]
    assert (ended["charge"], ended["node"]) == ("Infrastructure", "n1"), ended
    assert "node n1 stopped answering" in ended["message"], ended


def a_pod_never_goes(world: World) -> None:
    """The old gang's name is freed by force, and the job goes on."""
    world.apply()
    world.up()
    lose_node(world, rank(world, 0))
    for _ in range(20):
        world.turn()


def strangers_appear(world: World) -> None:
    world.apply()
    world.up()
    for kind in STRANGERS:
        stranger(world, kind)
        world.turn(10.0)


def sidecars_run_on(world: World) -> None:
    world.sidecars = True
    world.apply()
    world.up()


def a_sidecar_hides_nothing(world: World) -> None:
    world.sidecars = True
    world.apply()
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    world.until("Failed", lambda: world.phase() == "Failed")


def rights_go_for_a_minute(world: World) -> None:
    rights_are_gone(world)
    world.apply()
    told(world, "Forbidden", "cannot create resource")
    world.chaos.refuse = None


def rights_go_in_a_restart(world: World) -> None:
    world.apply()
    world.up()
    rights_are_gone(world)
    world.end(rank(world, 1), 1, BOOM)
    told(world, "Forbidden", "cannot create resource")
    world.start_operator()
    world.run(60.0)
    world.chaos.refuse = None


def a_webhook_is_down(world: World) -> None:
    webhook_is_down(world)
    world.apply()
    told(world, "ApiUnavailable", "failed calling webhook")
    world.chaos.refuse = None


def told(world: World, reason: str, words: str) -> None:
    """Until the status says why the job waits."""

    def holds() -> bool:
        waiting = world.status().get("waiting") or {}
        return waiting.get("reason") == reason and words in waiting["message"]

    world.until(f"waiting: {reason}", holds)


def room_is_given_back(world: World) -> None:
    """A quota lets in one pod of two: it does not hold a node for nothing."""

    def refuse(resource: str, _: Object) -> ApiError | None:
        full = resource == "pods" and bool(world.pods())
        return ApiError(403, "Forbidden", "exceeded quota: few") if full else None

    world.chaos.refuse = refuse
    world.apply()
    world.until("it was given back", lambda: len(world.monitor.created) == 1 and not world.pods())
    told(world, "QuotaExceeded", "few")
    world.chaos.refuse = None


def clocks_are_ahead(world: World) -> None:
    """The kubelets' clocks, by an hour: they delay neither a restart nor success."""
    world.kubelet_ahead = 3600.0
    world.apply()
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1, turns=90)
    world.up()
    world.end(rank(world, 0), 0, complete())
    world.until("Succeeded", lambda: world.phase() == "Succeeded", turns=90)


def one_rank_is_late(world: World) -> None:
    """There is no room for one of two pods for eight minutes; the other runs and waits."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for _ in range(8):
        world.start_operator()
        world.run(60.0)
    told(world, "Unschedulable", "no room")


def one_rank_never_ran(world: World) -> None:
    """Its peer gives up after a while: that is the cluster's doing."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for seconds in (400.0, 10.0):
        world.start_operator()
        world.run(seconds)
    world.end(rank(world, 0), 1, CASCADE)
    for _ in range(120):
        world.start_operator()
        world.run(5.0)
        if world.status()["attempt"] == 1:
            break
    ended = world.status()["attempts"][0]
    assert ended["charge"] == "Infrastructure", ended
    assert "no room" in ended["message"], ended


CLUSTER_SCENARIOS: dict[Callable[[World], None], Expected] = {
    a_node_loses_its_power: Expected("Succeeded", 1, 4),
    a_pod_never_goes: Expected("Succeeded", 1, 4),
    strangers_appear: Expected("Succeeded"),
    sidecars_run_on: Expected("Succeeded"),
    a_sidecar_hides_nothing: Expected("Failed"),
    rights_go_for_a_minute: Expected("Succeeded"),
    rights_go_in_a_restart: Expected("Succeeded", 1, 4),
    a_webhook_is_down: Expected("Succeeded"),
    room_is_given_back: Expected("Succeeded", pods=None),
    clocks_are_ahead: Expected("Succeeded", 1, 4),
    one_rank_is_late: Expected("Succeeded"),
    one_rank_never_ran: Expected("Succeeded", 1, 4),
}
