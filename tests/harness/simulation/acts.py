"""What may happen around a job, and how often it does in a random life."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from harness.simulation.cluster_faults import (
    STRANGERS,
    lose_node,
    rights_are_gone,
    stranger,
    webhook_is_down,
)
from harness.simulation.podview import going, label
from harness.simulation.world import World

from llmtrain_api import FailureClass, Outcome, TerminationMessage
from llmtrain_api.names import LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import ApiError, Object

FAILURES: tuple[tuple[int, TerminationMessage | str, str], ...] = (
    (
        1,
        TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom"),
        "",
    ),
    (1, TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="connection closed by peer"), ""),
    (75, TerminationMessage(outcome=Outcome.INTERRUPTED, message="stopped", checkpoint_step=3), ""),
    (93, TerminationMessage(outcome=Outcome.FENCED, message="newer attempt"), ""),
    (137, "", "OOMKilled"),
    (137, "", ""),
    (1, "Traceback: not JSON", ""),
)
CONFIG_ERROR = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="no such file"
)
HOUR = 3600.0
UNLIMITED = {"maxRestarts": 1000, "maxInfrastructureRestarts": 1000}
Act = Callable[["Life"], None]


@dataclass
class Life:
    """One world and the dice."""

    world: World
    rng: random.Random
    limited: bool = False
    wrong: bool = False
    may_fail: bool = False

    def pod(self) -> Object | None:
        pods = self.world.pods()
        return self.rng.choice(pods) if pods else None


def time_passes(life: Life) -> None:
    life.world.run(life.rng.choice([0.1, 1.0, 3.0, 7.0, 40.0]))


def kubelet_starts_all(life: Life) -> None:
    for pod in life.world.pods():
        life.world.start(pod)
    life.world.run(1.0)


def kubelet_starts_one(life: Life) -> None:
    if pod := life.pod():
        life.world.start(pod)


def scheduler_holds_one(life: Life) -> None:
    if pod := life.pod():
        life.world.hold(pod)


def one_fails(life: Life) -> None:
    if pod := life.pod():
        life.world.end(pod, *life.rng.choice(FAILURES))


def one_ends_well_alone(life: Life) -> None:
    """Exit 0 of a rank other than 0 means nothing by itself."""
    pod = life.pod()
    if pod and label(pod, LABEL_RANK) != "0":
        life.world.end(pod, 0, TerminationMessage(outcome=Outcome.COMPLETE))


def somebody_deletes_one(life: Life) -> None:
    pod = life.pod()
    if pod and not going(pod):
        life.world.delete_pod(pod, life.rng.choice([0, 1, 30]))


def drain(life: Life) -> None:
    pod = life.pod()
    if pod and not going(pod):
        life.world.evict(pod)


def kubelet_confirms(life: Life) -> None:
    life.world.finish_deletions()


def trains(life: Life) -> None:
    life.world.train(life.rng.randint(1, 5), commit=life.rng.random() < 0.5)
    life.world.run(life.rng.choice([0.1, 6.0]))


def gang_ends_well(life: Life) -> None:
    life.world.finish_gang()


def operator_dies(life: Life) -> None:
    world = life.world
    if world.operator is not None:
        world.chaos.strike("operator-death", "kill -9")
        world.kill_operator()
    world.run(life.rng.uniform(0.0, 20.0))
    world.start_operator()
    world.run(0.5)


def operator_dies_at_a_write(life: Life) -> None:
    world = life.world
    nth = world.chaos.writes + life.rng.randint(1, 4)
    world.chaos.fatal = (nth, life.rng.choice(["before", "after"]))


def weather_changes(life: Life) -> None:
    life.world.chaos.rate = life.rng.choice([0.0, 0.1, 0.3, 0.5])


def api_restarts(life: Life) -> None:
    world = life.world
    world.chaos.strike("api-restart", "all connections are gone")
    world.chaos.down_until = world.now() + life.rng.uniform(0.5, 20.0)
    world.api.close_watches()


def streams_end(life: Life) -> None:
    life.world.api.close_watches()


def history_is_compacted(life: Life) -> None:
    for resource in ("pods", "llmtrainingjobs"):
        life.world.api.compact(resource)
    life.world.chaos.strike("compaction", "watches of old versions get 410")
    life.world.api.close_watches()


def quota_is_used_up(life: Life) -> None:
    def refuse(resource: str, body: Object) -> ApiError | None:
        if resource != "pods" or life.rng.random() < 0.3:
            return None
        return ApiError(
            403, "Forbidden", f"pods {body['metadata']['name']} is forbidden: exceeded quota: gpus"
        )

    life.world.chaos.strike("quota", "pods are refused")
    life.world.chaos.refuse = refuse


def quota_is_free(life: Life) -> None:
    life.world.chaos.refuse = None


def user_deletes(life: Life) -> None:
    if life.world.job() is not None and life.rng.random() < 0.4:
        life.world.delete_job()


def user_applies_again(life: Life) -> None:
    if life.world.job() is None:
        apply(life)


def user_puts_the_spec_right(life: Life) -> None:
    job = life.world.job()
    if job is not None and life.wrong and not life.world.status().get("attempt"):
        life.wrong = False
        spec = {**job["spec"], "output": {"uri": "pvc://checkpoints/x"}}
        life.world.api.replace_spec(PLURAL, "default", "tiny", spec)


def configuration_fails(life: Life) -> None:
    """Starting again would not help: the job is over."""
    pod = life.pod()
    if pod is not None and life.rng.random() < 0.6:
        life.may_fail = True
        life.world.end(pod, 78, CONFIG_ERROR)


def a_node_loses_its_power(life: Life) -> None:
    if pod := life.pod():
        lose_node(life.world, pod)


def the_control_plane_evicts(life: Life) -> None:
    life.world.evict_from_silent_nodes()


def a_stranger_appears(life: Life) -> None:
    stranger(life.world, life.rng.choice(STRANGERS))


def rights_go(life: Life) -> None:
    rights_are_gone(life.world)


def a_webhook_goes_down(life: Life) -> None:
    webhook_is_down(life.world)


def collect(life: Life) -> None:
    life.world.collect_garbage()


ACTS: tuple[tuple[int, Act], ...] = (
    (5, time_passes),
    (6, kubelet_starts_all),
    (2, kubelet_starts_one),
    (1, scheduler_holds_one),
    (3, one_fails),
    (1, one_ends_well_alone),
    (2, somebody_deletes_one),
    (1, drain),
    (3, kubelet_confirms),
    (3, trains),
    (2, gang_ends_well),
    (2, operator_dies),
    (3, operator_dies_at_a_write),
    (4, weather_changes),
    (1, api_restarts),
    (1, streams_end),
    (1, history_is_compacted),
    (1, quota_is_used_up),
    (2, quota_is_free),
    (1, user_deletes),
    (2, user_applies_again),
    (2, user_puts_the_spec_right),
    (2, configuration_fails),
    (1, collect),
    (3, a_node_loses_its_power),
    (1, the_control_plane_evicts),
    (1, a_stranger_appears),
    (1, rights_go),
    (1, a_webhook_goes_down),
)


def apply(life: Life) -> None:
    rng = life.rng
    life.limited, life.wrong, life.may_fail = rng.random() < 0.2, rng.random() < 0.1, False
    recovery = {"maxRestarts": 1, "maxInfrastructureRestarts": 2} if life.limited else UNLIMITED
    output = {"uri": "file:///only/on/a/laptop" if life.wrong else "pvc://checkpoints/tiny"}
    life.world.apply(rng.choice([1, 2, 2, 3]), recovery=recovery, output=output)
