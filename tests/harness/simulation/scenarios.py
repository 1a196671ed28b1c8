"""Lives told step by step, for the sweep that strikes at every single write of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.simulation.cluster_scenarios import CLUSTER_SCENARIOS
from harness.simulation.elastic_scenarios import ELASTIC_SCENARIOS
from harness.simulation.hold_scenarios import HOLD_SCENARIOS
from harness.simulation.kueue_scenarios import KUEUE_SCENARIOS
from harness.simulation.limit_scenarios import LIMIT_SCENARIOS
from harness.simulation.mount_scenarios import MOUNT_SCENARIOS
from harness.simulation.notice_scenarios import NOTICE_SCENARIOS
from harness.simulation.preempt_scenarios import PREEMPT_SCENARIOS
from harness.simulation.queue_scenarios import QUEUE_SCENARIOS
from harness.simulation.rule_scenarios import RULE_SCENARIOS
from harness.simulation.runtime_scenarios import RUNTIME_SCENARIOS
from harness.simulation.setup_scenarios import SETUP_SCENARIOS
from harness.simulation.steps import BOOM, CASCADE, CONFIG, HANG, Expected, created, rank
from harness.simulation.straggler_scenarios import STRAGGLER_SCENARIOS
from harness.simulation.suspend_scenarios import SUSPEND_SCENARIOS
from harness.simulation.world import World

from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.api import ApiError, Object


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


def runs(world: World, attempt: int) -> bool:
    return world.phase() == "Running" and bool(world.status()["attempt"] == attempt)


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


def a_rank_hangs(world: World) -> None:
    """Its launcher has found out, and ends it; what was saved before is kept."""
    world.apply()
    world.up()
    world.train(3, commit=True)
    world.end(rank(world, 1), 1, HANG)
    world.end(rank(world, 0), 1, CASCADE)
    world.until("the next attempt", lambda: world.status()["attempt"] == 1)
    assert world.status()["attempts"][0]["failureClass"] == "Hang", world.status()


def fails_twice(world: World) -> None:
    rank_fails(world)
    world.until("attempt 1 runs", partial(runs, world, 1))
    world.end(rank(world, 0), 137, "", "Error")


def budget_used_up(world: World) -> None:
    world.apply(recovery={"maxRestarts": 1})
    for attempt in (0, 1):
        world.until("Running", partial(runs, world, attempt))
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
    assert world.status().get("attempt", 0) <= 4, "it asks again and again"
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


def an_end_goes_unnoticed(world: World) -> None:
    """The events that a rank has failed are lost without a trace: the next full list makes up for them."""
    world.apply()
    world.up()
    world.chaos.lose = 1
    world.end(rank(world, 1), 1, BOOM)
    _until_listed(world)


def a_deletion_goes_unnoticed(world: World) -> None:
    """A rank that ran is gone, and nobody said so."""
    world.apply()
    world.up()
    world.chaos.lose = 1
    world.delete_pod(rank(world, 1), 0)
    _until_listed(world)


def _until_listed(world: World) -> None:
    # an event that is not lost: no watch goes back behind it
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    world.pod_status(rank(world, 0), ready, "is ready")
    for _ in range(70):
        world.turn(10.0)
        world.api.close_watches()
    assert world.status()["attempt"] == 1, f"{world.phase()} after a list"


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
    # it and the one that goes are created at the same time, after rank 0
    world.chaos.unheard = "tiny-0-2"
    world.apply(nodes=3)
    world.delete_pod(created(world, "tiny-0-1"), 0)
    world.run(60.0)


def a_create_outlives_its_process(world: World) -> None:
    """It is carried out once the next process has listed all pods, and its event is lost: whoever begins the
    next attempt must ask."""
    world.chaos.late = "tiny-0-2"
    world.monitor.outlived.add(world.chaos.late)
    world.apply(nodes=3)
    world.start(created(world, "tiny-0-0"))
    second = next((pod for pod in world.pods() if pod["metadata"]["name"] == "tiny-0-1"), None)
    if second is None:
        # its own create was struck: it is not sent again while the call beside it is under way
        world.chaos.late = ""
        world.kill_operator()
        world.up()
        second = rank(world, 1)
    world.start(second)
    world.end(created(world, second["metadata"]["name"]), 1, BOOM)
    world.kill_operator()
    world.start_operator()
    world.run(60.0)
    world.finish_deletions()
    world.run(10.0)


def handed_over(world: World) -> None:
    """In the middle of a restart."""
    world.apply()
    world.stand_by()
    world.up()
    world.end(rank(world, 1), 1, BOOM)
    world.until("attempt 1", lambda: world.status()["attempt"] == 1)
    world.hand_over()
    world.run(10.0)


def handed_over_with_old_caches(world: World) -> None:
    """Who takes over knows the job, and has heard of none of its pods."""
    world.start_operator()
    standby = world.stand_by()
    world.run(1.0)
    standby.api.deaf = lambda event: b'"name":"tiny-0-' in event.object
    world.apply()
    world.up()
    world.hand_over()
    standby.api.deaf = lambda _: False
    world.run(30.0)


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


SCENARIOS: dict[Callable[[World], None], Expected] = {
    straight: Expected("Succeeded"),
    alone: Expected("Succeeded", pods=1),
    trained_and_reported: Expected("Succeeded"),
    rank_fails: Expected("Succeeded", 1, 4),
    rank_0_force_deleted: Expected("Succeeded", 1, 4),
    rank_1_deleted_with_grace: Expected("Succeeded", 1, 4),
    drained: Expected("Succeeded", 1, 4),
    out_of_memory: Expected("Succeeded", 1, 4),
    a_rank_hangs: Expected("Succeeded", 1, 4),
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
    a_pod_nobody_heard_of: Expected("Succeeded", 1, 6, blind=True),
    a_create_outlives_its_process: Expected("Succeeded", 1, None, blind=True),
    handed_over: Expected("Succeeded", 1, 4),
    handed_over_with_old_caches: Expected("Succeeded"),
    replaced_while_a_write_is_under_way: Expected("Succeeded", pods=4),
    a_list_is_overtaken: Expected("Succeeded"),
    an_end_goes_unnoticed: Expected("Succeeded", 1, 4),
    a_deletion_goes_unnoticed: Expected("Succeeded", 1, 4),
    deletions_go_unnoticed: Expected("Succeeded", 1, 4),
    **CLUSTER_SCENARIOS,
    **SETUP_SCENARIOS,
    **QUEUE_SCENARIOS,
    **RULE_SCENARIOS,
    **STRAGGLER_SCENARIOS,
    **MOUNT_SCENARIOS,
    **RUNTIME_SCENARIOS,
    **SUSPEND_SCENARIOS,
    **LIMIT_SCENARIOS,
    **KUEUE_SCENARIOS,
    **ELASTIC_SCENARIOS,
    **HOLD_SCENARIOS,
    **PREEMPT_SCENARIOS,
    **NOTICE_SCENARIOS,
}
