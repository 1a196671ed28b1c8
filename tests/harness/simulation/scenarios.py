"""Lives told step by step, for the sweep that strikes at every single write of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.jobs import complete
from harness.simulation.cluster_faults import STRANGERS, lose_node, rights_are_gone, stranger, webhook_is_down
from harness.simulation.podview import label
from harness.simulation.world import World

from llmtrain_api import FailureClass, Outcome, TerminationMessage
from llmtrain_api.names import LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import ApiError, Object

BOOM = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")
CASCADE = TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="connection closed by peer")
CONFIG = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="no such file"
)


@dataclass(frozen=True)
class Expected:
    """How a scenario ends, however often the operator died on the way.

    Attributes:
        pods: how many are created; None = any number: what found no room is given back and asked for again.
        blind: a pod comes and goes before its gang is on record as created; an operator that starts after
            that cannot know, and creates it.
    """

    phase: str
    restarts: int = 0
    pods: int | None = 2
    blind: bool = False


def rank(world: World, number: int) -> Object:
    return next(p for p in world.gang() if label(p, LABEL_RANK) == str(number))


def created(world: World, name: str) -> Object:
    """Wait for a pod to be there, with no kubelet at work."""
    for _ in range(120):
        found = [p for p in world.pods() if p["metadata"]["name"] == name]
        if found:
            return found[0]
        world.start_operator()
        world.run(1.0)
    raise AssertionError(f"{name} was never created")


def straight(world: World) -> None:
    world.apply()


def alone(world: World) -> None:
    world.apply(nodes=1)


def trained_and_reported(world: World) -> None:
    world.apply()
    world.up()
    for _ in range(4):
        world.train(3, commit=True)
        world.turn(6.0)


def rank_fails(world: World) -> None:
    world.apply()
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.end(rank(world, 0), 1, CASCADE)


def rank_0_force_deleted(world: World) -> None:
    world.apply()
    world.up()
    world.delete_pod(rank(world, 0), 0)


def rank_1_deleted_with_grace(world: World) -> None:
    world.apply()
    world.up()
    world.delete_pod(rank(world, 1), 30)


def drained(world: World) -> None:
    world.apply()
    world.up()
    world.evict(rank(world, 0))


def out_of_memory(world: World) -> None:
    world.apply()
    world.up()
    world.end(rank(world, 0), 137, "", "OOMKilled")


def fails_twice(world: World) -> None:
    rank_fails(world)
    world.until("attempt 1 runs", lambda: world.phase() == "Running" and world.status()["attempt"] == 1)
    world.end(rank(world, 0), 137, "", "Error")


def budget_used_up(world: World) -> None:
    world.apply(recovery={"maxRestarts": 1})
    for attempt in (0, 1):
        world.until(
            "Running", lambda a=attempt: world.phase() == "Running" and world.status()["attempt"] == a
        )  # type: ignore[misc]
        world.end(rank(world, 1), 1, BOOM)
    world.until("Failed", lambda: world.phase() == "Failed")


def configuration_wrong(world: World) -> None:
    world.apply()
    world.up()
    world.end(rank(world, 0), 78, CONFIG)
    world.until("Failed", lambda: world.phase() == "Failed")


def refused_by_pod_security(world: World) -> None:
    world.chaos.refuse = lambda resource, _: (
        ApiError(403, "Forbidden", "violates PodSecurity") if resource == "pods" else None
    )
    world.apply()
    world.until("Failed", lambda: world.phase() == "Failed")


def quota_comes_free_later(world: World) -> None:
    def refuse(resource: str, body: Object) -> ApiError | None:
        second = resource == "pods" and body["metadata"]["name"].endswith("-1")
        return ApiError(403, "Forbidden", "exceeded quota: pods") if second else None

    world.chaos.refuse = refuse
    world.apply()
    for _ in range(20):
        world.turn()
    world.chaos.refuse = None


def spec_wrong_then_put_right(world: World) -> None:
    world.apply(output={"uri": "file:///tmp/x"})
    for _ in range(5):
        world.turn()
    spec = dict(world.job()["spec"], output={"uri": "pvc://checkpoints/x"})  # type: ignore[index]
    world.api.replace_spec(PLURAL, "default", "tiny", spec)


def spec_wrong(world: World) -> None:
    world.apply(output={"uri": "file:///tmp/x"})


def deleted_while_it_runs(world: World) -> None:
    world.apply()
    world.up()
    world.delete_job()


def deleted_and_applied_again(world: World) -> None:
    world.apply()
    world.up()
    world.delete_job()
    world.apply()


def unschedulable_for_long(world: World) -> None:
    world.apply()
    world.start_operator()
    for _ in range(10):
        world.run(5.0)
        for pod in world.pods():
            world.hold(pod)


def starts_go_unnoticed(world: World) -> None:
    """Events are lost without a trace, and later ones are not: the next full list makes up for them."""
    world.apply()
    world.start_operator()
    world.run(1.0)
    world.chaos.lose = 3
    for _ in range(70):
        world.turn(10.0)
        world.api.close_watches()
    assert world.phase() == "Running", f"{world.phase()} after a list"


def a_list_is_overtaken(world: World) -> None:
    """A list of pods is under way when a gang is created: its answer knows of no pod."""
    world.start_operator()
    world.run(700.0)  # by now the next end of the stream means a new list
    world.chaos.slow_lists = 1
    world.api.close_watches()
    world.run(1.0)
    world.apply()
    world.run(10.0)


def deletions_go_unnoticed(world: World) -> None:
    world.apply()
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1)
    world.chaos.lose = 3


def an_old_event_follows_a_change(world: World) -> None:
    world.apply(nodes=1)
    world.bind(created(world, "tiny-0-0"))
    world.run(1.0)
    world.chaos.replay = 1
    world.turn()


def an_old_event_follows_a_deletion(world: World) -> None:
    world.apply()
    world.up()
    world.chaos.replay = 1
    world.delete_pod(rank(world, 1), 0)


def a_pod_nobody_heard_of(world: World) -> None:
    """Its create was carried out, answer and event are lost; then the attempt ends."""
    world.chaos.unheard = "tiny-0-0"
    world.apply()
    world.delete_pod(created(world, "tiny-0-1"), 0)
    world.run(60.0)


def replaced_while_a_write_is_under_way(world: World) -> None:
    """The status of the first job must not land on the second of the same name."""
    world.apply()
    world.up()
    world.chaos.slow_writes = 1
    world.end(rank(world, 0), 78, CONFIG)
    world.end(rank(world, 1), 1, CASCADE)
    world.run(2.0)
    world.delete_job()
    world.apply()
    world.run(10.0)


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
    configuration_wrong(world)


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
    """There is no room for one of two pods for two hours; the other runs and waits."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for _ in range(12):
        world.start_operator()
        world.run(600.0)
    told(world, "Unschedulable", "no room")


def one_rank_never_ran(world: World) -> None:
    """Its peer gives up after a while: that is the cluster's doing."""
    world.apply()
    world.start(created(world, "tiny-0-0"))
    world.hold(created(world, "tiny-0-1"))
    for seconds in (900.0, 10.0):
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


SCENARIOS: dict[Callable[[World], None], Expected] = {
    straight: Expected("Succeeded"),
    alone: Expected("Succeeded", pods=1),
    trained_and_reported: Expected("Succeeded"),
    rank_fails: Expected("Succeeded", 1, 4),
    rank_0_force_deleted: Expected("Succeeded", 1, 4),
    rank_1_deleted_with_grace: Expected("Succeeded", 1, 4),
    drained: Expected("Succeeded", 1, 4),
    out_of_memory: Expected("Succeeded", 1, 4),
    fails_twice: Expected("Succeeded", 2, 6),
    budget_used_up: Expected("Failed", 1, 4),
    configuration_wrong: Expected("Failed"),
    refused_by_pod_security: Expected("Failed", pods=0),
    quota_comes_free_later: Expected("Succeeded", pods=None),
    spec_wrong_then_put_right: Expected("Succeeded"),
    spec_wrong: Expected("Pending", pods=0),
    deleted_while_it_runs: Expected("Deleted"),
    deleted_and_applied_again: Expected("Succeeded", pods=4),
    unschedulable_for_long: Expected("Succeeded"),
    starts_go_unnoticed: Expected("Succeeded"),
    an_old_event_follows_a_change: Expected("Succeeded", pods=1),
    an_old_event_follows_a_deletion: Expected("Succeeded", 1, 4),
    a_pod_nobody_heard_of: Expected("Succeeded", 1, 4, blind=True),
    replaced_while_a_write_is_under_way: Expected("Succeeded", pods=4),
    a_list_is_overtaken: Expected("Succeeded"),
    deletions_go_unnoticed: Expected("Succeeded", 1, 4),
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
